<?php

// A Symfony application with the framework's own sessions, which take an URL as their handler.
// clients/README.md says what each route is for; docs/frameworks/symfony.md shows session.php.

use App\Kernel;
use Symfony\Component\HttpFoundation\Request;

require 'Symfony/Bundle/FrameworkBundle/autoload.php';
require __DIR__ . '/Kernel.php';
require __DIR__ . '/Routes.php';

$kernel = new Kernel('prod', false);
$request = Request::createFromGlobals();
$response = $kernel->handle($request);
$response->send();
$kernel->terminate($request, $response);
