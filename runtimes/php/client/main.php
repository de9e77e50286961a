<?php

// The runtime client for PHP: fetches invocations from the Lambda Runtime API and gives them to the function's handler.
//
//     php main.php HANDLER          (or _HANDLER in the environment)

declare(strict_types=1);

namespace Flint;

require __DIR__ . '/RuntimeFault.php';
require __DIR__ . '/RuntimeApi.php';
require __DIR__ . '/Context.php';
require __DIR__ . '/Handler.php';
require __DIR__ . '/Errors.php';

/** Fetches, calls and answers, until the process is ended. */
final class Client
{
    /** The invocation that is worked on. */
    private ?string $current = null;
    private bool $initialized = false;

    public function __construct(private readonly RuntimeApi $api)
    {
        // What cannot be caught (no memory, exit() in a handler) is told, too: who waits for an answer gets one.
        register_shutdown_function(fn () => $this->ended());
    }

    public function run(string $root, string $name): void
    {
        try {
            $handler = Handler::load($root, $name);
        } catch (\Throwable $error) {
            $this->initialized = true;
            $description = Errors::describe($error);
            Errors::log($description);
            $this->api->initError($description);
            exit(1);
        }
        $this->initialized = true;
        while (true) {
            $this->answer($this->api->next(), $handler);
        }
    }

    private function answer(Request $request, callable $handler): void
    {
        $this->current = $request->id;
        putenv('_X_AMZN_TRACE_ID=' . $request->traceId);
        $_ENV['_X_AMZN_TRACE_ID'] = $request->traceId;
        try {
            $answer = $handler(self::parse($request->body), new Context($request));
            $this->api->respond($request->id, self::serialize($answer));
        } catch (\Throwable $error) {
            $description = Errors::describe($error);
            Errors::log($description);
            $this->api->error($request->id, $description);
        }
        $this->current = null;
    }

    private function ended(): void
    {
        $last = error_get_last();
        $fatal = $last !== null && ($last['type'] & (E_ERROR | E_PARSE | E_CORE_ERROR | E_COMPILE_ERROR)) !== 0;
        $message = $fatal ? $last['message'] : 'the code ended the process';
        $description = [
            'errorType' => $fatal ? 'Runtime.FatalError' : 'Runtime.ExitError',
            'errorMessage' => $message,
            'stackTrace' => $fatal ? ["{$last['file']}:{$last['line']}"] : [],
        ];
        if ($this->current !== null) {
            $this->api->error($this->current, $description);
        } elseif (!$this->initialized) {
            $this->api->initError($description);
        }
    }

    private static function parse(string $text): mixed
    {
        try {
            return json_decode($text, true, 512, JSON_THROW_ON_ERROR);
        } catch (\JsonException $error) {
            throw new RuntimeFault('Runtime.UnmarshalError', "the event is not JSON: {$error->getMessage()}");
        }
    }

    private static function serialize(mixed $answer): string
    {
        try {
            return json_encode($answer, JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_PRESERVE_ZERO_FRACTION);
        } catch (\JsonException $error) {
            throw new RuntimeFault('Runtime.MarshalError', "the answer cannot be written as JSON: {$error->getMessage()}");
        }
    }
}

$client = new Client(new RuntimeApi((string) getenv('AWS_LAMBDA_RUNTIME_API')));
$client->run(getenv('LAMBDA_TASK_ROOT') ?: (string) getcwd(), $argv[1] ?? (getenv('_HANDLER') ?: ''));
