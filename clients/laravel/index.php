<?php

// A Laravel application with its session driver `redis`, on phpredis or on Predis.
// clients/README.md says what each route is for; docs/frameworks/laravel.md shows the lines of config/.

use Illuminate\Contracts\Debug\ExceptionHandler;
use Illuminate\Contracts\Http\Kernel;
use Illuminate\Foundation\Application;
use Illuminate\Foundation\Exceptions\Handler;
use Illuminate\Http\Request;

if (getenv('VARIANT') === 'predis') {
    require 'Predis/Autoloader.php';
    Predis\Autoloader::register();
}
require 'Illuminate/autoload.php';
require __DIR__ . '/Kernel.php';
require __DIR__ . '/Names.php';
require __DIR__ . '/Provider.php';
require __DIR__ . '/Routes.php';

$app = new Application(__DIR__);
$app->useStoragePath(getenv('DATA_DIR'));
$app->singleton(Kernel::class, App\Kernel::class);
$app->singleton(ExceptionHandler::class, Handler::class);

$kernel = $app->make(Kernel::class);
$request = Request::capture();
$response = $kernel->handle($request);
$response->send();
$kernel->terminate($request, $response);
