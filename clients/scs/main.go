// A net/http application with scs, as its manual shows it: the store of redigo or the store of go-redis.
// clients/README.md says what each route is for; docs/frameworks/go.md shows sessions.go.
package main

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"
)

var sessions *scs.SessionManager

func main() {
	store, err := chosenStore(os.Getenv("VARIANT"), os.Getenv("REDIS_URL"))
	if err != nil {
		log.Fatal(err)
	}
	sessions = newSessions(store, seconds("IDLE_SECONDS"), seconds("ABSOLUTE_SECONDS"))

	routes := http.NewServeMux()
	routes.HandleFunc("GET /me", me)
	routes.HandleFunc("POST /login", login)
	routes.HandleFunc("POST /logout", logout)
	routes.HandleFunc("POST /regenerate", regenerate)
	routes.HandleFunc("POST /cart", add)
	routes.HandleFunc("GET /cart", cart)
	routes.HandleFunc("POST /slow", slow)
	routes.HandleFunc("POST /many", many)
	routes.HandleFunc("GET /sessions", count)
	routes.HandleFunc("DELETE /sessions", clear)

	all := http.NewServeMux()
	all.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { answer(w, "ok", true) })
	all.Handle("/", sessions.LoadAndSave(routes))
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), all))
}

func chosenStore(variant, url string) (scs.Store, error) {
	if variant == "go-redis" {
		return overGoRedis(url)
	}
	return overRedigo(url), nil
}

func me(w http.ResponseWriter, r *http.Request) {
	answer(w, "user", user(r.Context()))
}

func login(w http.ResponseWriter, r *http.Request) {
	if fails(w, sessions.RenewToken(r.Context())) {
		return
	}
	sessions.Put(r.Context(), "user", r.URL.Query().Get("user"))
	answer(w, "user", user(r.Context()))
}

func logout(w http.ResponseWriter, r *http.Request) {
	if fails(w, sessions.Destroy(r.Context())) {
		return
	}
	answer(w, "user", nil)
}

func regenerate(w http.ResponseWriter, r *http.Request) {
	if fails(w, sessions.RenewToken(r.Context())) {
		return
	}
	answer(w, "user", user(r.Context()))
}

func add(w http.ResponseWriter, r *http.Request) {
	sessions.Put(r.Context(), "cart_"+r.URL.Query().Get("item"), true)
	cart(w, r)
}

func cart(w http.ResponseWriter, r *http.Request) {
	items := []string{}
	for _, name := range sessions.Keys(r.Context()) {
		if item, found := strings.CutPrefix(name, "cart_"); found {
			items = append(items, item)
		}
	}
	sort.Strings(items)
	answer(w, "cart", items)
}

func slow(w http.ResponseWriter, r *http.Request) {
	before := user(r.Context())
	reply, err := http.Get(r.URL.Query().Get("until"))
	if fails(w, err) {
		return
	}
	defer reply.Body.Close()
	if _, err := io.Copy(io.Discard, reply.Body); fails(w, err) {
		return
	}
	sessions.Put(r.Context(), "cart_"+r.URL.Query().Get("item"), true)
	answer(w, "user", before)
}

func many(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.URL.Query().Get("n"))
	for i := 0; i < n && err == nil; i++ {
		var visitor context.Context
		if visitor, err = sessions.Load(context.Background(), ""); err == nil {
			sessions.Put(visitor, "user", "many-"+strconv.Itoa(i))
			_, _, err = sessions.Commit(visitor)
		}
	}
	if !fails(w, err) {
		answer(w, "made", n)
	}
}

func count(w http.ResponseWriter, r *http.Request) {
	n := 0
	err := sessions.Iterate(r.Context(), func(context.Context) error {
		n++
		return nil
	})
	if !fails(w, err) {
		answer(w, "sessions", n)
	}
}

func clear(w http.ResponseWriter, r *http.Request) {
	// The caller's own first, so that the middleware does not save it again.
	err := sessions.Destroy(r.Context())
	if err == nil {
		err = sessions.Iterate(r.Context(), sessions.Destroy)
	}
	if !fails(w, err) {
		answer(w, "sessions", 0)
	}
}

func user(ctx context.Context) any {
	if name := sessions.GetString(ctx, "user"); name != "" {
		return name
	}
	return nil
}

func answer(w http.ResponseWriter, name string, value any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(map[string]any{name: value}); err != nil {
		log.Print(err)
	}
}

func fails(w http.ResponseWriter, err error) bool {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
	return err != nil
}

func seconds(name string) time.Duration {
	n, err := strconv.Atoi(os.Getenv(name))
	if err != nil {
		log.Fatalf("%s: %v", name, err)
	}
	return time.Duration(n) * time.Second
}
