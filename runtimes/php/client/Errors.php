<?php

declare(strict_types=1);

namespace Flint;

/** What goes to the Runtime API and to the log of an error. */
final class Errors
{
    /** @return array{errorType: string, errorMessage: string, stackTrace: list<string>} */
    public static function describe(\Throwable $error): array
    {
        $frames = [self::place($error->getFile(), $error->getLine())];
        foreach ($error->getTrace() as $frame) {
            $file = $frame['file'] ?? '';
            if (str_starts_with($file, __DIR__ . '/')) {
                break;
            }
            $called = ($frame['class'] ?? '') . ($frame['type'] ?? '') . $frame['function'] . '()';
            $frames[] = $file === '' ? $called : self::place($file, $frame['line'] ?? 0) . " $called";
        }
        if ($error instanceof RuntimeFault) {
            $frames = [];
        }
        return [
            'errorType' => $error instanceof RuntimeFault ? $error->type : $error::class,
            'errorMessage' => mb_scrub($error->getMessage()),
            'stackTrace' => array_map(mb_scrub(...), $frames),
        ];
    }

    /** One record, whatever its number of lines: the platform makes lines of carriage returns. */
    public static function log(array $description): void
    {
        $frames = array_map(fn (string $frame) => "    at $frame", $description['stackTrace']);
        $lines = ["[ERROR] {$description['errorType']}: {$description['errorMessage']}", ...$frames];
        fwrite(STDERR, strtr(implode("\n", $lines), "\n", "\r") . "\n");
    }

    private static function place(string $file, int $line): string
    {
        return "$file:$line";
    }
}
