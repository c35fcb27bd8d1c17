<?php

return [
    'redis' => [
        'client' => env('VARIANT'),
        'options' => ['prefix' => 'laravel_database_'],
        'default' => ['url' => env('REDIS_URL')],
    ],
];
