package main

import (
	"net/http"
	"time"

	"github.com/alexedwards/scs/goredisstore"
	"github.com/alexedwards/scs/redisstore"
	"github.com/alexedwards/scs/v2"
	"github.com/gomodule/redigo/redis"
	goredis "github.com/redis/go-redis/v9"
)

// With redigo.
func overRedigo(url string) scs.Store {
	return redisstore.New(&redis.Pool{
		MaxIdle: 10,
		Dial:    func() (redis.Conn, error) { return redis.DialURL(url) },
	})
}

// With go-redis.
func overGoRedis(url string) (scs.Store, error) {
	options, err := goredis.ParseURL(url)
	if err != nil {
		return nil, err
	}
	return goredisstore.New(goredis.NewClient(options)), nil
}

func newSessions(store scs.Store, idle, absolute time.Duration) *scs.SessionManager {
	sessions := scs.New()
	sessions.Store = store
	sessions.IdleTimeout = idle
	sessions.Lifetime = absolute
	sessions.Cookie.HttpOnly = true
	sessions.Cookie.SameSite = http.SameSiteLaxMode
	return sessions
}
