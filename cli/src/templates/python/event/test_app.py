import unittest

from app import handler


class Arrivals(unittest.TestCase):
    def test_names_every_object(self):
        records = [{"s3": {"object": {"key": key}}} for key in ("a.jpg", "my+cat.jpg")]
        self.assertEqual(handler({"Records": records}, None), {"keys": ["a.jpg", "my cat.jpg"]})

    def test_takes_an_event_without_objects(self):
        self.assertEqual(handler({}, None), {"keys": []})


if __name__ == "__main__":
    unittest.main()
