<?php

namespace App;

use Illuminate\Support\Facades\Auth;
use Illuminate\Support\Facades\Route;
use Illuminate\Support\ServiceProvider;

/** The routes that clients/README.md names; `web` is the group with the sessions. */
class Provider extends ServiceProvider
{
    public function boot(): void
    {
        Auth::provider('names', fn () => new Names());
        Route::get('/healthz', fn () => ['ok' => true]);
        Route::any('/sessions', fn () => response(['why' => 'Laravel neither lists nor clears sessions'], 501));
        Route::middleware('web')->group(function () {
            Route::get('/me', [Routes::class, 'me']);
            Route::post('/login', [Routes::class, 'login']);
            Route::post('/logout', [Routes::class, 'logout']);
            Route::post('/regenerate', [Routes::class, 'regenerate']);
            Route::post('/cart', [Routes::class, 'add']);
            Route::get('/cart', [Routes::class, 'cart']);
            Route::post('/slow', [Routes::class, 'slow']);
            Route::post('/many', [Routes::class, 'many']);
        });
    }
}
