require "redis-rack"

SESSIONS = {
  redis_server: "#{ENV.fetch("REDIS_URL")}/rack:session",
  expire_after: Integer(ENV.fetch("IDLE_SECONDS")),
  httponly: true,
  same_site: :lax,
}
