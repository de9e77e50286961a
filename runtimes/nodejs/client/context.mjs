// The context that a handler gets beside its event.

/** The fields of Lambda's context; `done`, `succeed` and `fail` are added where a handler may answer by them. */
export function makeContext(request) {
  const environment = process.env;
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionName: environment.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: environment.AWS_LAMBDA_FUNCTION_VERSION,
    invokedFunctionArn: request.arn,
    memoryLimitInMB: environment.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    awsRequestId: request.id,
    logGroupName: environment.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: environment.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: parse(request.clientContext),
    identity: parse(request.identity),
    tenantId: request.tenantId,
    getRemainingTimeInMillis: () => Math.max(0, request.deadline - Date.now()),
  };
}

function parse(json) {
  if (!json) return undefined;
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
