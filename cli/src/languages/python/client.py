"""The runtime client for Python: fetches invocations from the Lambda Runtime API and gives them to the function's handler.

    python3 client.py HANDLER [DEBUG-PORT]

It behaves as the client that AWS publishes (awslambdaric): the same context, errors and log lines. It is a single file
without dependencies, so that any Python from 3.8 on runs it.
"""

import importlib
import json
import logging
import os
import socket
import sys
import time
import traceback

PREFIX = "/2018-06-01/runtime"
HERE = os.path.abspath(__file__)


class RuntimeFault(Exception):
    """An error of the runtime's own, under Lambda's name for it."""

    def __init__(self, kind, message, frames=()):
        super().__init__(message)
        self.kind = kind
        self.frames = list(frames)


class Headers(dict):
    """An answer's headers: names in any case."""

    def __getitem__(self, name):
        return dict.__getitem__(self, name.lower())

    def get(self, name, default=None):
        return dict.get(self, name.lower(), default)


class RuntimeApi:
    """The Runtime API, over one kept connection. Without http.client, whose import is a third of an interpreter's start."""

    def __init__(self, address):
        self.address = address
        host, port = address.rsplit(":", 1)
        self.connection = socket.create_connection((host, int(port)))
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answers = self.connection.makefile("rb")

    def call(self, method, path, body=b"", headers=None):
        lines = ["{} {}{} HTTP/1.1".format(method, PREFIX, path), "Host: " + self.address]
        lines += ["Content-Length: {}".format(len(body))]
        lines += ["{}: {}".format(name, value) for name, value in (headers or {}).items()]
        self.connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace") + body)
        status = int(self.line().split(b" ", 2)[1])
        received = Headers()
        for line in iter(self.line, b""):
            name, _, value = line.decode("latin-1").partition(":")
            received[name.strip().lower()] = value.strip()
        return status, received, self.body(received)

    def line(self):
        line = self.answers.readline()
        if not line:
            raise ConnectionError("the Runtime API closed the connection")
        return line.rstrip(b"\r\n")

    def body(self, headers):
        if headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.answers.read(int(headers.get("Content-Length", 0)))
        body = b""
        while True:
            length = int(self.line().split(b";")[0], 16)
            body += self.answers.read(length)
            self.line()
            if length == 0:
                return body

    def next(self):
        status, headers, body = self.call("GET", "/invocation/next")
        if status != 200:
            raise RuntimeError("the Runtime API answered a poll with {}: {}".format(status, body))
        return headers, body

    def respond(self, request_id, body):
        self.call("POST", "/invocation/{}/response".format(request_id), body, {"Content-Type": "application/json"})

    def fail(self, path, description):
        kind = description["errorType"].encode("ascii", "replace").decode()
        headers = {"Content-Type": "application/json", "Lambda-Runtime-Function-Error-Type": kind}
        self.call("POST", path, json.dumps(description).encode(), headers)


class Fields:
    """A JSON object with attributes in the place of keys; what is absent is None."""

    def __init__(self, names, source):
        for name, key in names.items():
            setattr(self, name, source.get(key))


class Context:
    """What a handler gets beside its event."""

    def __init__(self, headers):
        self.aws_request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        self.invoked_function_arn = headers.get("Lambda-Runtime-Invoked-Function-Arn")
        self.tenant_id = headers.get("Lambda-Runtime-Aws-Tenant-Id")
        self.log_group_name = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.client_context = client_context(headers.get("Lambda-Runtime-Client-Context"))
        self.identity = identity(headers.get("Lambda-Runtime-Cognito-Identity"))
        self._deadline = int(headers.get("Lambda-Runtime-Deadline-Ms", 0))

    def get_remaining_time_in_millis(self):
        return max(self._deadline - int(time.time() * 1000), 0)

    def log(self, message):
        sys.stdout.write(str(message))

    def __repr__(self):
        return "LambdaContext({})".format(
            ",".join("{}={}".format(name, value) for name, value in vars(self).items() if name[0] != "_")
        )


def identity(text):
    names = {"cognito_identity_id": "cognitoIdentityId", "cognito_identity_pool_id": "cognitoIdentityPoolId"}
    return Fields(names, json.loads(text) if text else {})


def client_context(text):
    if not text:
        return None
    source = json.loads(text)
    context = Fields({"custom": "custom", "env": "env", "client": "client"}, source)
    names = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")
    context.client = Fields({name: name for name in names}, source.get("client") or {})
    return context


class Handler(logging.Handler):
    """Log records, each one line for the platform: carriage returns stand in for what is inside of it."""

    request_id = ""

    def emit(self, record):
        record.aws_request_id = Handler.request_id
        sys.stdout.write(self.format(record).rstrip("\n").replace("\n", "\r") + "\n")
        sys.stdout.flush()


def set_up_logging():
    handler = Handler()
    formatter = logging.Formatter(
        "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.getLogger().addHandler(handler)


def load(name):
    """The handler, or a RuntimeFault."""
    try:
        module_name, function_name = name.rsplit(".", 1)
    except ValueError as error:
        raise RuntimeFault("Runtime.MalformedHandlerName", "Bad handler '{}': {}".format(name, error))
    if module_name.split(".")[0] in sys.builtin_module_names:
        raise RuntimeFault(
            "Runtime.ImportModuleError", "Cannot use built-in module {} as a handler module".format(module_name)
        )
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        message = "Unable to import module '{}': {}".format(module_name, error)
        raise RuntimeFault("Runtime.ImportModuleError", message, frames_of(error))
    except SyntaxError as error:
        frame = '  File "{}" Line {}\n    {}'.format(error.filename, error.lineno, (error.text or "").strip())
        message = "Syntax error in module '{}': {}".format(module_name, error)
        raise RuntimeFault("Runtime.UserCodeSyntaxError", message, [frame])
    try:
        return getattr(module, function_name)
    except AttributeError:
        message = "Handler '{}' missing on module '{}'".format(function_name, module_name)
        raise RuntimeFault("Runtime.HandlerNotFound", message)


def frames_of(error):
    """The stack without our own frames and those of the import machinery."""
    frames = traceback.extract_tb(error.__traceback__)
    frames = [f for f in frames if os.path.abspath(f.filename) != HERE and not f.filename.startswith("<frozen")]
    ours = os.path.dirname(importlib.__file__)
    frames = [f for f in frames if os.path.dirname(f.filename) != ours]
    return traceback.format_list(frames)


def describe(error, request_id=None):
    """The error as the Runtime API has it."""
    if isinstance(error, RuntimeFault):
        description = {"errorMessage": str(error), "errorType": error.kind, "stackTrace": error.frames}
    else:
        description = {
            "errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": frames_of(error)
        }
    if request_id:
        description["requestId"] = request_id
    return description


def log_error(description):
    """One record, whatever its number of lines."""
    text = "[ERROR] {errorType}: {errorMessage}".format(**description)
    if description["stackTrace"]:
        text += "\nTraceback (most recent call last):\n" + "".join(description["stackTrace"])
    sys.stdout.write(text.rstrip("\n").replace("\n", "\r") + "\n")
    sys.stdout.flush()


def answer(value):
    try:
        return json.dumps(value, ensure_ascii=False, default=number).encode()
    except Exception as error:
        message = "Unable to marshal response: {}".format(error)
        raise RuntimeFault("Runtime.MarshalError", message)


def number(value):
    """DynamoDB's numbers are Decimals; only one who has them has the module loaded."""
    decimal = sys.modules.get("decimal")
    if decimal and isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError("Object of type {} is not JSON serializable".format(type(value).__name__))


def invoke(api, handler):
    headers, body = api.next()
    request_id = headers["Lambda-Runtime-Aws-Request-Id"]
    Handler.request_id = request_id
    trace = headers.get("Lambda-Runtime-Trace-Id")
    if trace:
        os.environ["_X_AMZN_TRACE_ID"] = trace
    else:
        os.environ.pop("_X_AMZN_TRACE_ID", None)
    try:
        try:
            event = json.loads(body)
        except ValueError as error:
            raise RuntimeFault("Runtime.UnmarshalError", "Unable to unmarshal input: {}".format(error))
        payload = answer(handler(event, Context(headers)))
    except Exception as error:
        description = describe(error, request_id)
        log_error(description)
        api.fail("/invocation/{}/error".format(request_id), description)
    else:
        sys.stdout.flush()
        api.respond(request_id, payload)


def open_to_debugger(port):
    """A function that is reloaded may find the port still held by the process before."""
    import debugpy

    debugpy.configure(subProcess=False)
    for attempt in range(50):
        try:
            debugpy.listen(("127.0.0.1", port))
            return
        except Exception:
            time.sleep(0.1)
    print("[WARN] port {} is in use: no debugger can attach".format(port))


def main():
    sys.stdout.reconfigure(line_buffering=True)
    sys.path[0] = os.environ.get("LAMBDA_TASK_ROOT", os.getcwd())
    api = RuntimeApi(os.environ["AWS_LAMBDA_RUNTIME_API"])
    set_up_logging()
    if len(sys.argv) > 2:
        open_to_debugger(int(sys.argv[2]))
    try:
        handler = load(sys.argv[1])
    except BaseException as error:
        description = describe(error)
        log_error(description)
        api.fail("/init/error", description)
        sys.exit(1)
    while True:
        invoke(api, handler)


if __name__ == "__main__":
    main()
