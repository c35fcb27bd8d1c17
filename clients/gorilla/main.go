// A net/http application with gorilla/sessions and boj/redistore, as their manuals show them.
// clients/README.md says what each route is for; docs/frameworks/go.md shows sessions.go.
package main

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"sort"
	"strconv"
	"strings"

	"github.com/boj/redistore"
	"github.com/gorilla/sessions"
)

var store *redistore.RediStore

// What a route does with the session. It is saved before the answer, because the cookie is a header.
type route func(w http.ResponseWriter, r *http.Request, session *sessions.Session) (name string, value any, err error)

func main() {
	idle, err := strconv.Atoi(os.Getenv("IDLE_SECONDS"))
	if err != nil {
		log.Fatal(err)
	}
	store, err = newStore(os.Getenv("REDIS_URL"), os.Getenv("SESSION_SECRET"), idle)
	if err != nil {
		log.Fatal(err)
	}
	routes := http.NewServeMux()
	for pattern, route := range map[string]route{
		"GET /me":          me,
		"POST /login":      login,
		"POST /logout":     logout,
		"POST /regenerate": regenerate,
		"POST /cart":       add,
		"GET /cart":        cart,
		"POST /slow":       slow,
		"POST /many":       many,
	} {
		routes.HandleFunc(pattern, withSession(route))
	}
	routes.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { answer(w, 200, "ok", true) })
	routes.HandleFunc("/sessions", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusNotImplemented, "why", "redistore neither lists nor clears sessions")
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), routes))
}

func withSession(route route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		session, err := store.Get(r, "session")
		if err != nil && session == nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		name, value, err := route(w, r, session)
		if err == nil {
			err = session.Save(r, w)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		answer(w, 200, name, value)
	}
}

func me(w http.ResponseWriter, r *http.Request, session *sessions.Session) (string, any, error) {
	return "user", session.Values["user"], nil
}

func login(w http.ResponseWriter, r *http.Request, session *sessions.Session) (string, any, error) {
	session.Values["user"] = r.URL.Query().Get("user")
	return "user", session.Values["user"], renew(w, r, session)
}

func logout(w http.ResponseWriter, r *http.Request, session *sessions.Session) (string, any, error) {
	session.Options.MaxAge = -1
	return "user", nil, nil
}

func regenerate(w http.ResponseWriter, r *http.Request, session *sessions.Session) (string, any, error) {
	return "user", session.Values["user"], renew(w, r, session)
}

func add(w http.ResponseWriter, r *http.Request, session *sessions.Session) (string, any, error) {
	session.Values["cart_"+r.URL.Query().Get("item")] = true
	return cart(w, r, session)
}

func cart(w http.ResponseWriter, r *http.Request, session *sessions.Session) (string, any, error) {
	items := []string{}
	for name := range session.Values {
		if item, found := strings.CutPrefix(name.(string), "cart_"); found {
			items = append(items, item)
		}
	}
	sort.Strings(items)
	return "cart", items, nil
}

func slow(w http.ResponseWriter, r *http.Request, session *sessions.Session) (string, any, error) {
	before := session.Values["user"]
	reply, err := http.Get(r.URL.Query().Get("until"))
	if err != nil {
		return "", nil, err
	}
	defer reply.Body.Close()
	if _, err := io.Copy(io.Discard, reply.Body); err != nil {
		return "", nil, err
	}
	session.Values["cart_"+r.URL.Query().Get("item")] = true
	return "user", before, nil
}

func many(w http.ResponseWriter, r *http.Request, session *sessions.Session) (string, any, error) {
	n, err := strconv.Atoi(r.URL.Query().Get("n"))
	for i := 0; i < n && err == nil; i++ {
		visit := httptest.NewRequest("GET", "/", nil)
		var made *sessions.Session
		if made, err = store.New(visit, "session"); err == nil {
			made.Values["user"] = "many-" + strconv.Itoa(i)
			err = made.Save(visit, httptest.NewRecorder())
		}
	}
	return "made", n, err
}

func answer(w http.ResponseWriter, status int, name string, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(map[string]any{name: value}); err != nil {
		log.Print(err)
	}
}
