"""Greets whom the path names: GET /hello/Ada"""


def handler(event, context):
    name = (event.get("pathParameters") or {}).get("name", "World")
    print(f"greeting {name}")
    return {"message": f"Hello, {name}!"}
