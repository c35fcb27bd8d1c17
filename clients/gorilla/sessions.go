package main

import (
	"net/http"

	"github.com/boj/redistore"
	"github.com/gorilla/sessions"
)

// The signature in the cookie has the same age as the session, so SetMaxAge and not Options.MaxAge.
func newStore(url, secret string, idle int) (*redistore.RediStore, error) {
	store, err := redistore.NewRediStoreWithURL(10, url, []byte(secret))
	if err != nil {
		return nil, err
	}
	store.SetMaxAge(idle)
	store.Options.HttpOnly = true
	store.Options.SameSite = http.SameSiteLaxMode
	return store, nil
}

// gorilla has no call for a new id, so applications end the old session and save it without an id.
func renew(w http.ResponseWriter, r *http.Request, session *sessions.Session) error {
	age := session.Options.MaxAge
	session.Options.MaxAge = -1
	if err := session.Save(r, w); err != nil {
		return err
	}
	w.Header().Del("Set-Cookie")
	session.ID = ""
	session.Options.MaxAge = age
	return session.Save(r, w)
}
