"""Takes objects that were put into a bucket: flint event gen s3-put shows such an event."""

from urllib.parse import unquote_plus


def handler(event, context):
    keys = [unquote_plus(record["s3"]["object"]["key"]) for record in event.get("Records", [])]
    for key in keys:
        print(f"{key} has arrived")
    return {"keys": keys}
