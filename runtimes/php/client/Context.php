<?php

declare(strict_types=1);

namespace Flint;

/** The context that a handler gets beside its event: the fields of Lambda's. */
final class Context
{
    public readonly string $awsRequestId;
    public readonly string $invokedFunctionArn;
    public readonly int $deadlineMs;
    public readonly ?string $tenantId;
    public readonly mixed $identity;
    public readonly mixed $clientContext;
    public readonly string $functionName;
    public readonly string $functionVersion;
    public readonly string $memoryLimitInMb;
    public readonly string $logGroupName;
    public readonly string $logStreamName;

    public function __construct(Request $request)
    {
        $this->awsRequestId = $request->id;
        $this->invokedFunctionArn = $request->arn;
        $this->deadlineMs = $request->deadline;
        $this->tenantId = $request->tenantId;
        $this->identity = json_decode($request->identity ?? 'null', true);
        $this->clientContext = json_decode($request->clientContext ?? 'null', true);
        $this->functionName = (string) getenv('AWS_LAMBDA_FUNCTION_NAME');
        $this->functionVersion = (string) getenv('AWS_LAMBDA_FUNCTION_VERSION');
        $this->memoryLimitInMb = (string) getenv('AWS_LAMBDA_FUNCTION_MEMORY_SIZE');
        $this->logGroupName = (string) getenv('AWS_LAMBDA_LOG_GROUP_NAME');
        $this->logStreamName = (string) getenv('AWS_LAMBDA_LOG_STREAM_NAME');
    }

    public function getRemainingTimeInMillis(): int
    {
        return max(0, $this->deadlineMs - (int) (microtime(true) * 1000));
    }
}
