"""Runs at times: flint.yaml says when."""


def handler(event, context):
    due = event.get("time", "now")
    print(f"the report of {due} is made")
    return {"reported": due}
