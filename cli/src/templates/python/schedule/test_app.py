import unittest

from app import handler


class Report(unittest.TestCase):
    def test_reports_the_time_that_was_due(self):
        event = {"time": "2027-01-31T02:00:00Z"}
        self.assertEqual(handler(event, None), {"reported": "2027-01-31T02:00:00Z"})


if __name__ == "__main__":
    unittest.main()
