<?php

namespace App;

use Illuminate\Http\Request;
use Illuminate\Session\Store;
use Illuminate\Support\Facades\Auth;
use Illuminate\Support\Str;

/** What the routes do. */
class Routes
{
    public function me(Request $request): array
    {
        return ['user' => Auth::id()];
    }

    public function login(Request $request): array
    {
        Auth::loginUsingId($request->query('user'));
        $request->session()->regenerate(true);
        return $this->me($request);
    }

    public function logout(Request $request): array
    {
        Auth::logout();
        $request->session()->invalidate();
        $request->session()->regenerateToken();
        return $this->me($request);
    }

    public function regenerate(Request $request): array
    {
        $request->session()->regenerate(true);
        return $this->me($request);
    }

    public function add(Request $request): array
    {
        $request->session()->put('cart_' . $request->query('item'), true);
        return $this->cart($request);
    }

    public function cart(Request $request): array
    {
        $names = collect($request->session()->all())->keys();
        $items = $names->filter(fn ($name) => Str::startsWith($name, 'cart_'));
        return ['cart' => $items->map(fn ($name) => Str::after($name, 'cart_'))->sort()->values()];
    }

    public function slow(Request $request): array
    {
        $before = $this->me($request);
        file_get_contents($request->query('until'));
        $request->session()->put('cart_' . $request->query('item'), true);
        return $before;
    }

    public function many(Request $request): array
    {
        $made = (int) $request->query('n');
        $handler = $request->session()->getHandler();
        for ($i = 0; $i < $made; $i++) {
            $session = new Store($request->session()->getName(), $handler);
            $session->start();
            $session->put('user', "many-$i");
            $session->save();
        }
        return ['made' => $made];
    }
}
