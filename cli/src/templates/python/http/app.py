"""Answers requests: GET /hello?name=Ada"""


def handler(event, context):
    name = (event.get("queryStringParameters") or {}).get("name", "world")
    return {"message": f"Hello, {name}!"}
