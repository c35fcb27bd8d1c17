<?php

namespace App;

use Symfony\Component\HttpFoundation\JsonResponse;
use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\HttpFoundation\Session\SessionInterface;
use Symfony\Component\HttpFoundation\Session\Storage\Handler\SessionHandlerFactory;

/** The routes that clients/README.md names. */
class Routes
{
    public const ALL = [
        'healthz' => ['GET', '/healthz'],
        'me' => ['GET', '/me'],
        'login' => ['POST', '/login'],
        'logout' => ['POST', '/logout'],
        'regenerate' => ['POST', '/regenerate'],
        'add' => ['POST', '/cart'],
        'cart' => ['GET', '/cart'],
        'slow' => ['POST', '/slow'],
        'many' => ['POST', '/many'],
        'listed' => ['GET', '/sessions'],
        'cleared' => ['DELETE', '/sessions'],
    ];

    public function healthz(): JsonResponse
    {
        return new JsonResponse(['ok' => true]);
    }

    public function me(Request $request): JsonResponse
    {
        return new JsonResponse(['user' => $request->getSession()->get('user_id')]);
    }

    public function login(Request $request): JsonResponse
    {
        $session = $this->renewed($request);
        $session->set('user_id', $request->query->get('user'));
        return $this->me($request);
    }

    public function logout(Request $request): JsonResponse
    {
        $session = $request->getSession();
        $session->start();
        $session->invalidate();
        return $this->me($request);
    }

    public function regenerate(Request $request): JsonResponse
    {
        $this->renewed($request);
        return $this->me($request);
    }

    public function add(Request $request): JsonResponse
    {
        $request->getSession()->set('cart_' . $request->query->get('item'), true);
        return $this->cart($request);
    }

    public function cart(Request $request): JsonResponse
    {
        $items = [];
        foreach (array_keys($request->getSession()->all()) as $name) {
            if (str_starts_with($name, 'cart_')) {
                $items[] = substr($name, strlen('cart_'));
            }
        }
        sort($items);
        return new JsonResponse(['cart' => $items]);
    }

    public function slow(Request $request): JsonResponse
    {
        $before = $this->me($request);
        file_get_contents($request->query->get('until'));
        $request->getSession()->set('cart_' . $request->query->get('item'), true);
        return $before;
    }

    /** As `Session` keeps its attributes, by a handler of the framework's own making. */
    public function many(Request $request): JsonResponse
    {
        $made = $request->query->getInt('n');
        $handler = SessionHandlerFactory::createHandler(getenv('REDIS_URL'));
        ini_set('session.gc_maxlifetime', getenv('IDLE_SECONDS'));
        for ($i = 0; $i < $made; $i++) {
            $attributes = serialize(['user_id' => "many-$i"]);
            $handler->write(bin2hex(random_bytes(16)), "_sf2_attributes|$attributes");
        }
        return new JsonResponse(['made' => $made]);
    }

    public function listed(): JsonResponse
    {
        return new JsonResponse(['why' => 'Symfony neither lists nor clears sessions'], 501);
    }

    public function cleared(): JsonResponse
    {
        return $this->listed();
    }

    /** What was not begun is not given a new id, and neither `migrate` nor `invalidate` begins it. */
    private function renewed(Request $request): SessionInterface
    {
        $session = $request->getSession();
        $session->start();
        $session->migrate(true);
        return $session;
    }
}
