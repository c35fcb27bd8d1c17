package clients;

import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpSession;
import java.io.IOException;
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
import org.springframework.http.ResponseEntity;
import org.springframework.session.FindByIndexNameSessionRepository;
import org.springframework.session.Session;
import org.springframework.session.SessionRepository;
import org.springframework.web.bind.annotation.DeleteMapping;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;

/** The routes that clients/README.md names, on servlets. */
@RestController
@ConditionalOnWebApplication(type = Type.SERVLET)
public class Routes {
    /** What the indexed repository finds sessions by; Spring Security would set its own. */
    private static final String USER = FindByIndexNameSessionRepository.PRINCIPAL_NAME_INDEX_NAME;

    private final SessionRepository<? extends Session> repository;
    private final HttpClient client = HttpClient.newHttpClient();

    Routes(SessionRepository<? extends Session> repository) {
        this.repository = repository;
    }

    @GetMapping("/healthz")
    Map<String, Object> healthz() {
        return Map.of("ok", true);
    }

    @GetMapping("/me")
    Map<String, Object> me(HttpServletRequest request) {
        return user(request.getSession(false));
    }

    @PostMapping("/login")
    Map<String, Object> login(HttpServletRequest request, @RequestParam("user") String user) {
        HttpSession session = request.getSession();
        if (!session.isNew()) {
            request.changeSessionId();
        }
        session.setAttribute(USER, user);
        return user(session);
    }

    @PostMapping("/logout")
    Map<String, Object> logout(HttpServletRequest request) {
        HttpSession session = request.getSession(false);
        if (session != null) {
            session.invalidate();
        }
        return user(null);
    }

    @PostMapping("/regenerate")
    Map<String, Object> regenerate(HttpServletRequest request) {
        request.changeSessionId();
        return user(request.getSession());
    }

    @PostMapping("/cart")
    Map<String, Object> add(HttpSession session, @RequestParam("item") String item) {
        session.setAttribute("cart_" + item, true);
        return cart(session);
    }

    @GetMapping("/cart")
    Map<String, Object> cart(HttpSession session) {
        List<String> items = Collections.list(session.getAttributeNames()).stream()
                .filter(name -> name.startsWith("cart_"))
                .map(name -> name.substring("cart_".length()))
                .sorted()
                .toList();
        return Map.of("cart", items);
    }

    @PostMapping("/slow")
    Map<String, Object> slow(HttpSession session, @RequestParam("item") String item, @RequestParam("until") URI until)
            throws IOException, InterruptedException {
        Map<String, Object> before = user(session);
        client.send(HttpRequest.newBuilder(until).build(), BodyHandlers.discarding());
        session.setAttribute("cart_" + item, true);
        return before;
    }

    @PostMapping("/many")
    Map<String, Object> many(@RequestParam("n") int n) {
        for (int i = 0; i < n; i++) {
            make(repository, "many-" + i);
        }
        return Map.of("made", n);
    }

    /** Spring Session counts nothing; the indexed repository knows the sessions of one user. */
    @GetMapping("/sessions")
    ResponseEntity<Map<String, Object>> sessions(@RequestParam(name = "user", required = false) String user) {
        if (user == null || !(repository instanceof FindByIndexNameSessionRepository<?> indexed)) {
            return none();
        }
        return ResponseEntity.ok(Map.of("sessions", indexed.findByPrincipalName(user).size()));
    }

    /** "Log out everywhere", which the indexed repository can do for one user. */
    @DeleteMapping("/sessions")
    ResponseEntity<Map<String, Object>> clear(@RequestParam(name = "user", required = false) String user) {
        if (user == null || !(repository instanceof FindByIndexNameSessionRepository<?> indexed)) {
            return none();
        }
        indexed.findByPrincipalName(user).keySet().forEach(indexed::deleteById);
        return ResponseEntity.ok(Map.of("sessions", 0));
    }

    private static ResponseEntity<Map<String, Object>> none() {
        return ResponseEntity.status(HttpStatus.NOT_IMPLEMENTED)
                .body(Map.of("why", "this repository neither lists nor clears sessions"));
    }

    private static <S extends Session> void make(SessionRepository<S> repository, String user) {
        S session = repository.createSession();
        session.setAttribute(USER, user);
        repository.save(session);
    }

    private static Map<String, Object> user(HttpSession session) {
        Object user = session == null ? null : session.getAttribute(USER);
        return Collections.singletonMap("user", user);
    }
}
