# Finds the handler that a name like `folder/file.method` or `file.Module::Class.method` stands for.

require_relative 'errors'

module Flint
  # A handler: a method at the top of its file, or of a class or module.
  class Handler
    def self.load(root, name)
      file, *rest = name.split('.')
      owner, method = rest.length == 2 ? rest : [nil, rest[0]]
      if file.nil? || file.empty? || method.nil? || rest.length > 2
        raise RuntimeFault.new('Runtime.MalformedHandlerName',
                               "Bad handler #{name.inspect}: write FILE.METHOD, like app.handler, or FILE.CLASS.METHOD")
      end
      $LOAD_PATH.unshift(root) unless $LOAD_PATH.include?(root)
      path = File.expand_path("#{file}.rb", root)
      unless File.file?(path)
        raise RuntimeFault.new('Runtime.ImportModuleError', "there is no #{file}.rb in #{root}, which the handler #{name} is in")
      end
      require path
      new(find(owner, method, name))
    end

    def self.find(owner, method, name)
      return Kernel.const_get(owner).method(method) if owner

      # A method at the top of a file is a private one of every object.
      TOPLEVEL_BINDING.receiver.method(method)
    rescue NameError
      raise RuntimeFault.new('Runtime.HandlerNotFound', "#{name} is not defined")
    end

    def initialize(method)
      @method = method
      names = method.parameters.filter_map { |kind, parameter| parameter if %i[key keyreq].include?(kind) }
      @keywords = (names & %i[event context]).any? || method.parameters.any? { |kind, _| kind == :keyrest }
      @wanted = names
      @everything = method.parameters.any? { |kind, _| kind == :keyrest }
    end

    # Lambda gives keywords, `event:` and `context:`; one written with plain parameters gets them in this order.
    def call(event, context)
      unless @keywords
        positional = @method.arity.negative? ? 2 : [@method.arity, 2].min
        return @method.call(*[event, context].first(positional))
      end
      all = { event: event, context: context }
      @method.call(**(@everything ? all : all.slice(*@wanted)))
    end
  end
end
