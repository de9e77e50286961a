<?php

declare(strict_types=1);

namespace Flint;

/** An error of the client itself, with the type that Lambda has for it. */
final class RuntimeFault extends \RuntimeException
{
    public function __construct(public readonly string $type, string $message)
    {
        parent::__construct($message);
    }
}
