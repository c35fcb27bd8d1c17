<?php

namespace App;

use Symfony\Bundle\FrameworkBundle\FrameworkBundle;
use Symfony\Bundle\FrameworkBundle\Kernel\MicroKernelTrait;
use Symfony\Component\DependencyInjection\Loader\Configurator\ContainerConfigurator;
use Symfony\Component\HttpKernel\Kernel as BaseKernel;
use Symfony\Component\Routing\Loader\Configurator\RoutingConfigurator;

/** The application: the framework, its settings, one controller. */
class Kernel extends BaseKernel
{
    use MicroKernelTrait;

    public function registerBundles(): iterable
    {
        return [new FrameworkBundle()];
    }

    public function getProjectDir(): string
    {
        return __DIR__;
    }

    public function getCacheDir(): string
    {
        return getenv('DATA_DIR') . '/cache';
    }

    public function getLogDir(): string
    {
        return getenv('DATA_DIR');
    }

    private function configureContainer(ContainerConfigurator $container): void
    {
        $container->extension('framework', [
            'secret' => '%env(SESSION_SECRET)%',
            'session' => require __DIR__ . '/session.php',
        ]);
        $container->services()->set(Routes::class)->public()->autowire();
    }

    private function configureRoutes(RoutingConfigurator $routes): void
    {
        foreach (Routes::ALL as $name => [$method, $path]) {
            $routes->add($name, $path)->methods([$method])->controller([Routes::class, $name]);
        }
    }
}
