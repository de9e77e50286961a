<?php

declare(strict_types=1);

namespace Flint;

/** One invocation. */
final class Request
{
    public function __construct(
        public readonly string $id,
        public readonly int $deadline,
        public readonly string $arn,
        public readonly string $traceId,
        public readonly ?string $clientContext,
        public readonly ?string $identity,
        public readonly ?string $tenantId,
        public readonly string $body,
    ) {
    }
}

/** The Lambda Runtime API, over a kept connection. */
final class RuntimeApi
{
    private readonly string $base;
    private readonly \CurlHandle $curl;

    public function __construct(string $address)
    {
        if ($address === '') {
            throw new \RuntimeException('AWS_LAMBDA_RUNTIME_API is not set');
        }
        $this->base = "http://$address/2018-06-01/runtime";
        $this->curl = curl_init();
    }

    /** The next invocation. */
    public function next(): Request
    {
        [$status, $headers, $body] = $this->call('/invocation/next');
        if ($status !== 200) {
            throw new \RuntimeException("the Runtime API answered a poll with $status: $body");
        }
        return new Request(
            $headers['lambda-runtime-aws-request-id'] ?? '',
            (int) ($headers['lambda-runtime-deadline-ms'] ?? 0),
            $headers['lambda-runtime-invoked-function-arn'] ?? '',
            $headers['lambda-runtime-trace-id'] ?? '',
            $headers['lambda-runtime-client-context'] ?? null,
            $headers['lambda-runtime-cognito-identity'] ?? null,
            $headers['lambda-runtime-aws-tenant-id'] ?? null,
            $body,
        );
    }

    /** The answer of an invocation: JSON text. */
    public function respond(string $id, string $text): void
    {
        $this->call("/invocation/$id/response", $text);
    }

    /** The error of an invocation. */
    public function error(string $id, array $description): void
    {
        $this->fault("/invocation/$id/error", $description);
    }

    /** The function cannot be initialized. */
    public function initError(array $description): void
    {
        $this->fault('/init/error', $description);
    }

    private function fault(string $path, array $description): void
    {
        $type = preg_replace('/[^\x20-\x7e]/', '?', $description['errorType']);
        $this->call($path, json_encode($description, JSON_INVALID_UTF8_SUBSTITUTE), ["Lambda-Runtime-Function-Error-Type: $type"]);
    }

    /** @return array{int, array<string, string>, string} */
    private function call(string $path, ?string $body = null, array $headers = []): array
    {
        $got = [];
        // The connection outlives the options.
        curl_reset($this->curl);
        curl_setopt_array($this->curl, [
            CURLOPT_URL => $this->base . $path,
            CURLOPT_RETURNTRANSFER => true,
            // A poll waits for as long as there is nothing to do.
            CURLOPT_TIMEOUT => 0,
            // No proxy of the environment is meant for this.
            CURLOPT_PROXY => '',
            CURLOPT_TCP_NODELAY => true,
            CURLOPT_HEADERFUNCTION => function ($curl, string $line) use (&$got): int {
                $parts = explode(':', $line, 2);
                if (count($parts) === 2) {
                    $got[strtolower(trim($parts[0]))] = trim($parts[1]);
                }
                return strlen($line);
            },
        ]);
        if ($body !== null) {
            curl_setopt_array($this->curl, [
                CURLOPT_POSTFIELDS => $body,
                // Without `Expect`, which would ask before it sends.
                CURLOPT_HTTPHEADER => ['Content-Type: application/json', 'Expect:', ...$headers],
            ]);
        }
        $answer = curl_exec($this->curl);
        if (!is_string($answer)) {
            throw new \RuntimeException('the Runtime API cannot be reached: ' . curl_error($this->curl));
        }
        return [curl_getinfo($this->curl, CURLINFO_RESPONSE_CODE), $got, $answer];
    }
}
