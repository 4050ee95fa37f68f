package azureml.scoring;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import azureml.scoring.ScoringClient.TransportException;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Proxy;
import java.net.ProxySelector;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import javax.net.ssl.SSLException;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** No whole answer: B03, B30, B32, B33, B34, B40, B60, B64, and the proxy. */
class TransportTest {
  private static final double[][] ROWS = {{1.5}};
  private static final Duration SHORT = Duration.ofMillis(300);

  @BeforeAll
  static void warmUp() throws Exception {
    OneAttempt.warmUp();
  }

  private static TransportException failure(ScoringClient client) {
    TransportException failure = assertThrows(TransportException.class, () -> client.score(ROWS));
    assertEquals(1, failure.attempts());
    assertNotNull(failure.getCause());
    return failure;
  }

  private static TransportException failure(ScriptedServer.Script script) throws Exception {
    try (ScriptedServer server = new ScriptedServer(script);
        ScoringClient client = OneAttempt.create(server.uri("/score"), null)) {
      TransportException failure = failure(client);
      assertEquals(1, server.requests().size());
      assertFalse(failure.timedOut());
      return failure;
    }
  }

  private static String what(TransportException failure) {
    return failure
        .getMessage()
        .replaceFirst("^POST http://127\\.0\\.0\\.1:[0-9]+/score: (.*) \\(1 attempt\\)$", "$1");
  }

  // Proves B40, B60, B64.
  @Test
  void refused() throws Exception {
    try (Socket nobody = ScriptedServer.silentPort();
        ScoringClient client =
            OneAttempt.create("http://127.0.0.1:" + nobody.getLocalPort() + "/score", "hunter2")) {
      TransportException failure = failure(client);
      assertFalse(failure.timedOut());
      assertEquals("connection refused", what(failure));
    }
  }

  // Proves B40.
  @Test
  void unknownHost() {
    String host = "a".repeat(64) + ".invalid"; // too long for DNS, so nobody is asked
    try (ScoringClient client = OneAttempt.create("http://" + host + "/score?code=hunter2", null)) {
      TransportException failure = failure(client);
      assertFalse(failure.timedOut());
      assertEquals(
          "POST http://" + host + "/score: the host name cannot be resolved (1 attempt)",
          failure.getMessage());
    }
  }

  // Proves B40.
  @Test
  void closedBeforeTheReply() throws Exception {
    TransportException failure = failure((request, connection) -> connection.close());
    assertEquals("the connection was closed before the reply", what(failure));
  }

  // Proves B40.
  @Test
  void resetBeforeTheReply() throws Exception {
    TransportException failure = failure((request, connection) -> connection.reset());
    assertEquals("the connection was reset", what(failure));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "`HTTP/1.1 20`                                                | the connection was closed before the reply",
        "`HTTP/1.1 200 OK\r\nContent-Le`                              | the connection was closed before the reply",
        "`SSH-2.0-OpenSSH_9.2\r\n\r\n`                                | the reply is not valid HTTP",
        "`HTTP/1.1 101 Switching Protocols\r\n\r\n`                   | the reply is not valid HTTP",
        "`HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n[2.5]`        | the reply is not valid HTTP",
        "`HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[2.5]`        | the reply was cut off",
        "`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[2.5]\r\n` | the reply was cut off",
        "`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n[2.5]` | the reply is not valid HTTP"
      })
  // Proves B40.
  void aBrokenReply(String reply, String what) throws Exception {
    TransportException failure =
        failure(
            (request, connection) -> {
              connection.write(reply);
              connection.close();
            });
    assertEquals(what, what(failure));
    assertEquals(what, failure.reason());
  }

  // Proves B64.
  @Test
  void headersThatAreTooLargeWouldBeSoAgain() throws Exception {
    byte[] reply = ScriptedServer.reply("200 OK\nX: " + "x".repeat(400_000), "[2.5]");
    try (ScriptedServer server = ScriptedServer.replying(reply);
        ScoringClient client = ScoringClient.create(server.uri("/score"), null)) {
      assertEquals("the headers of the reply are too large", what(failure(client)));
    }
  }

  /** What races decide on a real connection, as HttpClient tells it. */
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "Unrecognized SSL message, plaintext connection? | false | false | TLS failed: Unrecognized SSL message, plaintext connection?",
        "Remote host terminated the handshake            | false | true  | the connection was closed inside TLS",
        "(bad_record_mac) Tag mismatch                   | true  | true  | the reply is not valid HTTP"
      })
  // Proves B40, B41.
  void tlsThatFailsMayBeTheCauseOfALostConnection(
      String message, boolean begun, boolean network, String words) {
    IOException lost =
        new IOException("HTTP/1.1 header parser received no bytes", new SSLException(message));
    assertEquals(new ScoringClient.Loss(words, network, false), ScoringClient.explain(lost, begun));
  }

  // Proves B40.
  @Test
  void aKeptConnectionThatIsGoneWasReset() {
    IOException lost =
        new IOException("HTTP/1.1 header parser received no bytes", new IOException("Broken pipe"));
    assertEquals(
        new ScoringClient.Loss("the connection was reset", true, false),
        ScoringClient.explain(lost, false));
  }

  // ---- time

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "nothing            | ``",
        "half a status line | HTTP/1.1 2",
        "half a head        | `HTTP/1.1 200 OK\r\nContent-Len`",
        "interim replies    | `HTTP/1.1 100 Continue\r\n\r\n`",
        "half a body        | `HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[2.5`"
      })
  // Proves B32, B64.
  void theTimeOfACallEndsItWhereverItIs(String sends, String reply) throws Exception {
    try (ScriptedServer server =
            new ScriptedServer(
                (request, connection) -> {
                  connection.write(reply);
                  connection.awaitEnd();
                });
        ScoringClient client = OneAttempt.builder(server.uri("/score")).timeout(SHORT).build()) {
      TransportException failure = failure(client);
      assertTrue(failure.timedOut());
      assertEquals("no complete reply within 0.3 s", what(failure));
      server.awaitEndOfConnection();
    }
  }

  // Proves B34.
  @Test
  void theTimeOfOneCallShortensAndNeverLengthens() throws Exception {
    try (ScriptedServer server =
            new ScriptedServer((request, connection) -> connection.awaitEnd());
        ScoringClient patient = OneAttempt.create(server.uri("/score"), null);
        ScoringClient hasty = OneAttempt.builder(server.uri("/score")).timeout(SHORT).build()) {
      TransportException shortened =
          assertThrows(TransportException.class, () -> patient.score(ROWS, SHORT));
      assertEquals("no complete reply within 0.3 s", what(shortened));
      TransportException kept =
          assertThrows(TransportException.class, () -> hasty.score(ROWS, Duration.ofDays(1)));
      assertEquals("no complete reply within 0.3 s", what(kept));
    }
  }

  // Proves B30.
  @Test
  void theTimeToConnectCoversTls() throws Exception {
    try (ServerSocket silent = ScriptedServer.listen(); // the system accepts, nobody answers
        ScoringClient client =
            OneAttempt.builder("https://127.0.0.1:" + silent.getLocalPort() + "/score")
                .connectTimeout(SHORT)
                .build()) {
      TransportException failure = failure(client);
      assertTrue(failure.timedOut());
      assertTrue(
          failure.getMessage().endsWith("/score: no connection within 0.3 s (1 attempt)"),
          failure.getMessage());
    }
  }

  // Proves B30.
  @Test
  void theTimeToConnectIsNotTheTimeToAnswer() throws Exception {
    CompletableFuture<Void> proceed = new CompletableFuture<>();
    try (ScriptedServer server =
            new ScriptedServer(
                (request, connection) -> {
                  proceed.join();
                  connection.write(
                      ScriptedServer.reply("200 OK", "[2.5]".getBytes(StandardCharsets.UTF_8)));
                });
        ScoringClient client =
            OneAttempt.builder(server.uri("/score"))
                .connectTimeout(Duration.ofSeconds(1))
                .build()) {
      CompletableFuture.delayedExecutor(1_100, java.util.concurrent.TimeUnit.MILLISECONDS)
          .execute(() -> proceed.complete(null));
      assertArrayEquals(new double[] {2.5}, client.score(ROWS));
    }
  }

  @Test
  void anInterruptEndsTheCallAndItsConnection() throws Exception {
    try (ScriptedServer server =
            new ScriptedServer((request, connection) -> connection.awaitEnd());
        ScoringClient client = OneAttempt.create(server.uri("/score"), null)) {
      CompletableFuture<Throwable> thrown = new CompletableFuture<>();
      Thread caller =
          new Thread(
              () -> {
                try {
                  client.score(ROWS);
                  thrown.complete(null);
                } catch (Throwable e) {
                  thrown.complete(e);
                }
              });
      caller.start();
      server.take();
      caller.interrupt();
      assertInstanceOf(InterruptedException.class, thrown.get());
      server.awaitEndOfConnection();
    }
  }

  // ---- the proxy

  /** Runs an action with a proxy for everything, as {@code -Dhttps.proxyHost} would name it. */
  private static void withProxy(int port, Action action) throws Exception {
    ProxySelector before = ProxySelector.getDefault();
    ProxySelector.setDefault(
        new ProxySelector() {
          @Override
          public List<Proxy> select(URI uri) {
            var address = new InetSocketAddress(InetAddress.getLoopbackAddress(), port);
            return List.of(new Proxy(Proxy.Type.HTTP, address));
          }

          @Override
          public void connectFailed(URI uri, SocketAddress address, IOException e) {
            // the client reports it
          }
        });
    try {
      action.run();
    } finally {
      ProxySelector.setDefault(before);
    }
  }

  private interface Action {
    void run() throws Exception;
  }

  // Proves B02.
  @Test
  void theProxyOfTheOptionIsUsedButNotForLoopback() throws Exception {
    try (ScriptedServer proxy = ScriptedServer.replying("200 OK", "[2.5]");
        ScriptedServer server = ScriptedServer.replying("200 OK", "[3.5]")) {
      String option = "http://127.0.0.1:" + proxy.port();
      try (ScoringClient client =
          OneAttempt.builder("http://model.invalid/score?a=1").proxy(option).build()) {
        assertArrayEquals(new double[] {2.5}, client.score(ROWS));
      }
      assertEquals("POST http://model.invalid/score?a=1 HTTP/1.1", proxy.onlyRequest().line());
      try (ScoringClient client = OneAttempt.builder(server.uri("/score")).proxy(option).build()) {
        assertArrayEquals(new double[] {3.5}, client.score(ROWS));
      }
      assertEquals(1, proxy.requests().size());
    }
  }

  // Proves B02.
  @Test
  void loopbackIsNeverProxied() throws Exception {
    try (ScriptedServer server = ScriptedServer.replying("200 OK", "[2.5]");
        ScriptedServer proxy = ScriptedServer.replying("502 Bad Gateway", "")) {
      withProxy(
          proxy.port(),
          () -> {
            try (ScoringClient client = OneAttempt.create(server.uri("/score"), null)) {
              assertArrayEquals(new double[] {2.5}, client.score(ROWS));
            }
          });
      assertEquals(0, proxy.connections());
    }
  }

  // Proves B02.
  @Test
  void otherHostsAreReachedByTheProxyOfTheJvm() throws Exception {
    try (ScriptedServer proxy = ScriptedServer.replying("200 OK", "[2.5]")) {
      withProxy(
          proxy.port(),
          () -> {
            try (ScoringClient client = OneAttempt.create("http://model.invalid/score", null)) {
              assertArrayEquals(new double[] {2.5}, client.score(ROWS));
            }
          });
      assertEquals("POST http://model.invalid/score HTTP/1.1", proxy.onlyRequest().line());
    }
  }

  // Proves B14, B30.
  @Test
  void theTimeToConnectCoversASilentProxyAndTheKeyStaysHere() throws Exception {
    try (ScriptedServer proxy =
        new ScriptedServer((request, connection) -> connection.awaitEnd())) {
      withProxy(
          proxy.port(),
          () -> {
            try (ScoringClient client =
                OneAttempt.builder("https://model.invalid/score")
                    .key("hunter2")
                    .connectTimeout(Duration.ofMillis(500))
                    .build()) {
              TransportException failure = failure(client);
              assertTrue(failure.timedOut());
              assertEquals(
                  "POST https://model.invalid/score: no connection within 0.5 s (1 attempt)",
                  failure.getMessage());
            }
          });
      for (ScriptedServer.Request request : proxy.requests()) {
        assertEquals("CONNECT model.invalid:443 HTTP/1.1", request.line());
        assertEquals(List.of(), request.header("Authorization"));
      }
      proxy.awaitEndOfConnection();
    }
  }

  // Proves B60.
  @ParameterizedTest
  @ValueSource(ints = {403, 407})
  void aProxyThatRefusesTheTunnelIsNotAskedAgain(int status) throws Exception {
    String reply = status + " No\nProxy-Authenticate: Basic";
    try (ScriptedServer proxy = ScriptedServer.replying(reply, "");
        ScoringClient client =
            ScoringClient.builder("https://model.invalid/score")
                .key("hunter2")
                .proxy("http://127.0.0.1:" + proxy.port())
                .build()) {
      TransportException failure = assertThrows(TransportException.class, () -> client.score(ROWS));
      assertFalse(failure.timedOut());
      assertEquals(1, failure.attempts());
      assertEquals("the proxy refused the tunnel: " + status, failure.reason());
    }
  }
}
