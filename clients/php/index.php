<?php

// A PHP application with phpredis' session handler, as its manual shows it, with and without its locks.
// clients/README.md says what each route is for; docs/frameworks/php.md shows sessions.php and locking.php.

function user(): array
{
    return ['user' => $_SESSION['user'] ?? null];
}

function cart(): array
{
    $items = [];
    foreach (array_keys($_SESSION) as $name) {
        if (str_starts_with($name, 'cart_')) {
            $items[] = substr($name, strlen('cart_'));
        }
    }
    sort($items);
    return ['cart' => $items];
}

function login(): array
{
    session_regenerate_id(true);
    $_SESSION['user'] = $_GET['user'];
    return user();
}

function logout(): array
{
    $_SESSION = [];
    session_destroy();
    setcookie(session_name(), '', ['expires' => 1, 'path' => '/']);
    return user();
}

function regenerate(): array
{
    session_regenerate_id(true);
    return user();
}

function add(): array
{
    $_SESSION['cart_' . $_GET['item']] = true;
    return cart();
}

function slow(): array
{
    $before = user();
    file_get_contents($_GET['until']);
    $_SESSION['cart_' . $_GET['item']] = true;
    return $before;
}

function many(): array
{
    // The handler has no call for it, so each one is begun and written like a visitor's.
    session_write_close();
    ini_set('session.use_cookies', '0');
    for ($i = 0; $i < (int) $_GET['n']; $i++) {
        session_id(session_create_id());
        session_start(['use_strict_mode' => 0]);
        $_SESSION = ['user' => "many-$i"];
        session_write_close();
    }
    return ['made' => (int) $_GET['n']];
}

function answer(array $what, int $status = 200): void
{
    http_response_code($status);
    header('Content-Type: application/json');
    echo json_encode($what);
}

$route = $_SERVER['REQUEST_METHOD'] . ' ' . parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($route === 'GET /healthz') {
    answer(['ok' => true]);
    return;
}
if (str_ends_with($route, ' /sessions')) {
    answer(['why' => 'PHP neither lists nor clears sessions'], 501);
    return;
}

require 'sessions.php';
if (getenv('VARIANT') === 'locking') {
    require 'locking.php';
}
if (!session_start()) {
    // PHP has made a new id because it could not ask for this one; the visitor keeps theirs.
    header_remove('Set-Cookie');
    answer(['why' => 'the session could not be read'], 503);
    return;
}
answer(match ($route) {
    'GET /me' => user(),
    'POST /login' => login(),
    'POST /logout' => logout(),
    'POST /regenerate' => regenerate(),
    'POST /cart' => add(),
    'GET /cart' => cart(),
    'POST /slow' => slow(),
    'POST /many' => many(),
});
