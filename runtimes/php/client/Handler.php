<?php

declare(strict_types=1);

namespace Flint;

/** Finds the handler that a name like `folder/file.function`, `file.Class::method` or `file.php` stands for. */
final class Handler
{
    public static function load(string $root, string $name): callable
    {
        $slash = strrpos($name, '/');
        $dot = strpos($name, '.', $slash === false ? 0 : $slash);
        $function = $dot === false ? '' : substr($name, $dot + 1);
        if ($dot === false || $function === '' || str_contains($name, '..')) {
            throw new RuntimeFault(
                'Runtime.MalformedHandlerName',
                'Bad handler ' . json_encode($name) . ': write FILE.FUNCTION, like app.handler',
            );
        }
        $file = substr($name, 0, $dot) . '.php';
        if (!is_file("$root/$file")) {
            throw new RuntimeFault('Runtime.ImportModuleError', "there is no $file in $root, which the handler $name is in");
        }
        // What Composer has brought along.
        if (is_file("$root/vendor/autoload.php")) {
            require_once "$root/vendor/autoload.php";
        }
        $returned = self::read("$root/$file");
        if (is_callable($returned)) {
            return $returned;
        }
        if (str_contains($function, '::')) {
            [$class, $method] = explode('::', $function, 2);
            if (method_exists($class, $method)) {
                $static = (new \ReflectionMethod($class, $method))->isStatic();
                return [$static ? $class : new $class(), $method];
            }
        } elseif (function_exists($function)) {
            return $function(...);
        }
        throw new RuntimeFault(
            'Runtime.HandlerNotFound',
            "$name is not defined: $file returns a callable, or defines the function",
        );
    }

    /** In a scope of its own. */
    private static function read(string $path): mixed
    {
        return require $path;
    }
}
