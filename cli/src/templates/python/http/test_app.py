import unittest

from app import handler


class Hello(unittest.TestCase):
    def test_greets_the_world(self):
        self.assertEqual(handler({}, None), {"message": "Hello, world!"})

    def test_greets_by_name(self):
        event = {"queryStringParameters": {"name": "Ada"}}
        self.assertEqual(handler(event, None), {"message": "Hello, Ada!"})


if __name__ == "__main__":
    unittest.main()
