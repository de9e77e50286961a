require 'minitest/autorun'
require_relative 'app'

class HelloTest < Minitest::Test
  def test_greets_the_world
    assert_equal({ message: 'Hello, world!' }, handler(event: {}, context: nil))
  end

  def test_greets_by_name
    event = { 'queryStringParameters' => { 'name' => 'Ada' } }
    assert_equal({ message: 'Hello, Ada!' }, handler(event: event, context: nil))
  end
end
