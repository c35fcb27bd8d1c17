<?php

return [
    'driver' => 'redis',
    'connection' => 'default',
    'lifetime' => env('IDLE_SECONDS') / 60,
    'expire_on_close' => true,
    'encrypt' => false,
    'lottery' => [2, 100],
    'cookie' => 'laravel_session',
    'path' => '/',
    'domain' => null,
    'secure' => false,
    'http_only' => true,
    'same_site' => 'lax',
];
