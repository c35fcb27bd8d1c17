package clients;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.springframework.boot.autoconfigure.condition.ConditionalOnWebApplication;
import org.springframework.boot.autoconfigure.condition.ConditionalOnWebApplication.Type;
import org.springframework.http.HttpStatus;
import org.springframework.session.ReactiveFindByIndexNameSessionRepository;
import org.springframework.session.ReactiveSessionRepository;
import org.springframework.session.Session;
import org.springframework.web.bind.annotation.DeleteMapping;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.server.ResponseStatusException;
import org.springframework.web.server.WebSession;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/** The routes that clients/README.md names, on WebFlux. */
@RestController
@ConditionalOnWebApplication(type = Type.REACTIVE)
public class ReactiveRoutes {
    /** What the indexed repository finds sessions by: another name than on servlets. */
    private static final String USER = ReactiveFindByIndexNameSessionRepository.PRINCIPAL_NAME_INDEX_NAME;

    private final ReactiveSessionRepository<? extends Session> repository;
    private final HttpClient client = HttpClient.newHttpClient();

    ReactiveRoutes(ReactiveSessionRepository<? extends Session> repository) {
        this.repository = repository;
    }

    @GetMapping("/healthz")
    Map<String, Object> healthz() {
        return Map.of("ok", true);
    }

    @GetMapping("/me")
    Map<String, Object> me(WebSession session) {
        return user(session);
    }

    @PostMapping("/login")
    Mono<Map<String, Object>> login(WebSession session, @RequestParam("user") String user) {
        return session.changeSessionId().then(Mono.fromSupplier(() -> {
            session.getAttributes().put(USER, user);
            return user(session);
        }));
    }

    @PostMapping("/logout")
    Mono<Map<String, Object>> logout(WebSession session) {
        return session.invalidate().thenReturn(Collections.singletonMap("user", null));
    }

    @PostMapping("/regenerate")
    Mono<Map<String, Object>> regenerate(WebSession session) {
        return session.changeSessionId().thenReturn(user(session));
    }

    @PostMapping("/cart")
    Map<String, Object> add(WebSession session, @RequestParam("item") String item) {
        session.getAttributes().put("cart_" + item, true);
        return cart(session);
    }

    @GetMapping("/cart")
    Map<String, Object> cart(WebSession session) {
        List<String> items = session.getAttributes().keySet().stream()
                .filter(name -> name.startsWith("cart_"))
                .map(name -> name.substring("cart_".length()))
                .sorted()
                .toList();
        return Map.of("cart", items);
    }

    @PostMapping("/slow")
    Mono<Map<String, Object>> slow(
            WebSession session, @RequestParam("item") String item, @RequestParam("until") URI until) {
        Map<String, Object> before = user(session);
        HttpRequest request = HttpRequest.newBuilder(until).build();
        return Mono.fromFuture(() -> client.sendAsync(request, BodyHandlers.discarding()))
                .doOnNext(answer -> session.getAttributes().put("cart_" + item, true))
                .thenReturn(before);
    }

    @PostMapping("/many")
    Mono<Map<String, Object>> many(@RequestParam("n") int n) {
        return Flux.range(0, n)
                .concatMap(i -> make(repository, "many-" + i))
                .then(Mono.just(Map.of("made", n)));
    }

    /** As on servlets: the indexed repository knows the sessions of one user. */
    @GetMapping("/sessions")
    Mono<Map<String, Object>> sessions(@RequestParam(name = "user", required = false) String user) {
        return indexed(user).findByPrincipalName(user).map(found -> Map.of("sessions", found.size()));
    }

    /** "Log out everywhere", which the indexed repository can do for one user. */
    @DeleteMapping("/sessions")
    Mono<Map<String, Object>> clear(@RequestParam(name = "user", required = false) String user) {
        return indexed(user).findByPrincipalName(user)
                .flatMapIterable(Map::keySet)
                .flatMap(repository::deleteById)
                .then(Mono.just(Map.of("sessions", 0)));
    }

    private ReactiveFindByIndexNameSessionRepository<?> indexed(String user) {
        if (user != null && repository instanceof ReactiveFindByIndexNameSessionRepository<?> indexed) {
            return indexed;
        }
        String why = "this repository neither lists nor clears sessions";
        throw new ResponseStatusException(HttpStatus.NOT_IMPLEMENTED, why);
    }

    private static <S extends Session> Mono<Void> make(ReactiveSessionRepository<S> repository, String user) {
        return repository.createSession().flatMap(session -> {
            session.setAttribute(USER, user);
            return repository.save(session);
        });
    }

    private static Map<String, Object> user(WebSession session) {
        return Collections.singletonMap("user", session.getAttribute(USER));
    }
}
