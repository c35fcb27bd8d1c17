# A Rack application with redis-rack, as its manual shows it. Sinatra and others take their sessions the same way.
# clients/README.md says what each route is for; docs/frameworks/rack.md shows sessions.rb.
require "json"
require "net/http"
require "rack"
require_relative "sessions"

# What a route does; the session is loaded when it is first asked.
class Routes
  def call(env)
    request = Rack::Request.new(env)
    @request = request
    @session = request.session
    @options = request.session_options
    status, answer = route(request.request_method, request.path, request.params)
    [status, { "Content-Type" => "application/json" }, [JSON.generate(answer)]]
  end

  private

  def route(method, path, params)
    case "#{method} #{path}"
    when "GET /me" then [200, user]
    when "POST /login" then [200, login(params["user"])]
    when "POST /logout" then [200, logout]
    when "POST /regenerate" then [200, regenerate]
    when "POST /cart" then [200, add(params["item"])]
    when "GET /cart" then [200, cart]
    when "POST /slow" then [200, slow(params["item"], params["until"])]
    when "POST /many" then [200, many(Integer(params["n"]))]
    else [501, { why: "redis-rack neither lists nor clears sessions" }]
    end
  end

  def user
    { user: @session["user"] }
  end

  def login(name)
    @options[:renew] = true
    @session["user"] = name
    user
  end

  def logout
    @session.destroy
    { user: nil }
  end

  def regenerate
    @options[:renew] = true
    user
  end

  def add(item)
    @session["cart_#{item}"] = true
    cart
  end

  def cart
    names = @session.keys.select { |name| name.start_with?("cart_") }
    { cart: names.map { |name| name.delete_prefix("cart_") }.sort }
  end

  def slow(item, wait)
    before = user
    Net::HTTP.get(URI(wait))
    @session["cart_#{item}"] = true
    before
  end

  def many(count)
    store = Rack::Session::Redis.new(nil, SESSIONS)
    count.times do |index|
      store.write_session(@request, store.generate_sid, { "user" => "many-#{index}" }, SESSIONS)
    end
    { made: count }
  end
end

map "/healthz" do
  run ->(_env) { [200, { "Content-Type" => "application/json" }, ['{"ok":true}']] }
end

map "/" do
  use Rack::Session::Redis, SESSIONS
  run ->(env) { Routes.new.call(env) }
end
