package azureml.scoring;

import static azureml.scoring.ScriptedServer.reply;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import azureml.scoring.ScoringClient.Retry;
import azureml.scoring.ScoringClient.ServiceException;
import azureml.scoring.ScoringClient.TransportException;
import java.io.IOException;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What is sent again, when, and what the caller gets to know of it. */
class RetryTest {
  private static final double[][] ROWS = {{1.5}};
  private static final byte[] GOOD = reply("200 OK", "[2.5]");
  private static final byte[] BUSY = reply("503 Busy", "busy");
  private final FakeTime time = new FakeTime(0.5);
  private final List<Retry> retries = new ArrayList<>();

  @BeforeAll
  static void warmUp() throws Exception {
    OneAttempt.warmUp();
  }

  private ScoringClient.Builder builder(String uri) {
    return ScoringClient.builder(uri).time(time).onRetry(retries::add);
  }

  private static Duration millis(long millis) {
    return Duration.ofMillis(millis);
  }

  // Proves B02, B48.
  @ParameterizedTest
  @CsvSource({"0.0, 400, 800, 1600", "0.5, 800, 1600, 3200", "0.75, 1000, 2000, 4000"})
  void byDefaultFourAttemptsWithWaitsThatDouble(double random, long first, long second, long third)
      throws Exception {
    FakeTime fake = new FakeTime(random);
    try (ScriptedServer server = ScriptedServer.replying(BUSY);
        ScoringClient client =
            ScoringClient.builder(server.uri("/score")).time(fake).onRetry(retries::add).build()) {
      ServiceException error = assertThrows(ServiceException.class, () -> client.score(ROWS));
      assertEquals(4, error.attempts());
      assertEquals(4, server.requests().size());
      assertEquals(List.of(millis(first), millis(second), millis(third)), fake.sleeps());
      assertEquals(
          List.of(
              new Retry(1, millis(first), "503: busy"),
              new Retry(2, millis(second), "503: busy"),
              new Retry(3, millis(third), "503: busy")),
          retries);
    }
  }

  // Proves B15, B48.
  @Test
  void everyAttemptSendsTheSameBytesUnderTheSameId() throws Exception {
    try (ScriptedServer server = ScriptedServer.replying(BUSY, BUSY, GOOD);
        ScoringClient client = builder(server.uri("/score")).key("K1").build()) {
      assertArrayEquals(new double[] {2.5}, client.score(ROWS));
      ScriptedServer.Request first = server.requests().get(0);
      for (ScriptedServer.Request request : server.requests()) {
        assertEquals(first.line(), request.line());
        assertEquals(first.headers(), request.headers());
        assertArrayEquals(first.body(), request.body());
      }
      assertEquals(3, server.requests().size());
    }
  }

  // Proves B49.
  @Test
  void theServiceMayAskForALongerWait() throws Exception {
    try (ScriptedServer server =
            ScriptedServer.replying(
                reply("429 Slow down\nRetry-After: 7", ""),
                reply("429 Slow down\nretry-after-ms: 1", ""),
                GOOD);
        ScoringClient client = builder(server.uri("/score")).build()) {
      client.score(ROWS);
      assertEquals(List.of(millis(7_000), millis(1_600)), time.sleeps());
    }
  }

  // Proves B49.
  @Test
  void aHintAboveTheLongestWaitEndsTheCall() throws Exception {
    try (ScriptedServer server =
            ScriptedServer.replying(reply("503 Busy\nRetry-After: 61", "busy"), GOOD);
        ScoringClient client = builder(server.uri("/score")).build()) {
      ServiceException error = assertThrows(ServiceException.class, () -> client.score(ROWS));
      assertEquals(1, error.attempts());
      assertEquals(Optional.of(Duration.ofSeconds(61)), error.retryAfter());
      assertEquals(List.of(), time.sleeps());
      assertEquals(List.of(), retries);
    }
  }

  // Proves B32, B49.
  @ParameterizedTest
  @CsvSource({"5, 5", "6, 5", "1, 0.8"})
  void noWaitIsBegunThatReachesTheDeadline(int hint, double timeout) throws Exception {
    try (ScriptedServer server =
            ScriptedServer.replying(reply("503 Busy\nRetry-After: " + hint, ""), GOOD);
        ScoringClient client =
            builder(server.uri("/score")).timeout(millis((long) (1_000 * timeout))).build()) {
      ServiceException error = assertThrows(ServiceException.class, () -> client.score(ROWS));
      assertEquals(Optional.of(Duration.ofSeconds(hint)), error.retryAfter());
      assertEquals(List.of(), time.sleeps());
    }
  }

  // Proves B49, B61.
  @Test
  void aHintOfAStatusThatIsNotRepeatedIsTold() throws Exception {
    try (ScriptedServer server =
            ScriptedServer.replying(reply("404 No\nx-ms-retry-after-ms: 1500", ""));
        ScoringClient client = builder(server.uri("/score")).build()) {
      ServiceException error = assertThrows(ServiceException.class, () -> client.score(ROWS));
      assertEquals(Optional.of(millis(1_500)), error.retryAfter());
      assertEquals(1, error.attempts());
    }
  }

  // Proves B32.
  @Test
  void aHookThatTakesTheTimeOfTheCallLeavesNoneForAnAttempt() throws Exception {
    try (ScriptedServer server = ScriptedServer.replying(BUSY);
        ScoringClient client =
            ScoringClient.builder(server.uri("/score"))
                .time(time)
                .onRetry(retry -> time.advance(Duration.ofSeconds(200)))
                .build()) {
      TransportException error = assertThrows(TransportException.class, () -> client.score(ROWS));
      assertTrue(error.timedOut());
      assertTrue(
          error.getMessage().endsWith("/score: no complete reply within 100 s (1 attempt)"),
          error.getMessage());
      assertEquals(1, server.requests().size());
    }
  }

  // Proves B32.
  @Test
  void theTimeOfAHookShortensTheWaitThatFollows() throws Exception {
    try (ScriptedServer server = ScriptedServer.replying(BUSY);
        ScoringClient client =
            ScoringClient.builder(server.uri("/score"))
                .time(time)
                .onRetry(retry -> time.advance(millis(99_700)))
                .build()) {
      assertThrows(TransportException.class, () -> client.score(ROWS));
      assertEquals(List.of(millis(300)), time.sleeps());
    }
  }

  // Proves B02.
  @Test
  void theExceptionOfAHookReachesTheCaller() throws Exception {
    IllegalStateException thrown = new IllegalStateException("enough");
    try (ScriptedServer server = ScriptedServer.replying(BUSY, GOOD);
        ScoringClient client =
            ScoringClient.builder(server.uri("/score"))
                .onRetry(
                    retry -> {
                      throw thrown;
                    })
                .build()) {
      assertSame(thrown, assertThrows(RuntimeException.class, () -> client.score(ROWS)));
      assertEquals(1, server.requests().size());
    }
  }

  // Proves B21.
  @Test
  void aHookIsToldNoSecret() throws Exception {
    try (ScriptedServer server =
            ScriptedServer.replying(
                reply("503 Busy", "no hunter2\n\u0007 " + "x".repeat(400)), GOOD);
        ScoringClient client = builder(server.uri("/score")).key("hunter2").build()) {
      client.score(ROWS);
      assertEquals("503: no ***   " + "x".repeat(290) + "…", retries.get(0).reason());
    }
  }

  // Proves B02, B44, B45.
  @Test
  void otherStatusesReplaceTheList() throws Exception {
    try (ScriptedServer server = ScriptedServer.replying(reply("504 Late", ""), GOOD);
        ScoringClient client = builder(server.uri("/score")).retryStatuses(504).build()) {
      assertArrayEquals(new double[] {2.5}, client.score(ROWS));
    }
    try (ScriptedServer server = ScriptedServer.replying(BUSY, GOOD);
        ScoringClient client = builder(server.uri("/score")).retryStatuses().build()) {
      assertThrows(ServiceException.class, () -> client.score(ROWS));
      assertEquals(1, server.requests().size());
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "400 No",
        "401 No",
        "404 No",
        "408 No",
        "504 No",
        "307 Moved\nLocation: /other",
        "424 No",
        "500 No\nx-ms-run-function-failed: True",
        "200 OK\nContent-Encoding: gzip"
      })
  // Proves B44, B46, B47.
  void whatWouldFailAgainIsSentOnce(String statusAndHeaders) throws Exception {
    try (ScriptedServer server = ScriptedServer.replying(reply(statusAndHeaders, "[2"), GOOD);
        ScoringClient client = builder(server.uri("/score")).key("K1").build()) {
      assertThrows(ScoringClient.ScoringException.class, () -> client.score(ROWS));
      assertEquals(1, server.requests().size());
      assertEquals(List.of(), retries);
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "HTTP/1.1 2",
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[2.5",
        "HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n[2.5]",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n[2.5]"
      })
  // Proves B40.
  void aBrokenReplyIsAskedForAgain(String broken) throws Exception {
    AtomicInteger requests = new AtomicInteger();
    try (ScriptedServer server =
            new ScriptedServer(
                (request, connection) -> {
                  if (requests.incrementAndGet() > 1) {
                    connection.write(GOOD);
                  } else {
                    connection.write(broken);
                    connection.close();
                  }
                });
        ScoringClient client = builder(server.uri("/score")).build()) {
      assertArrayEquals(new double[] {2.5}, client.score(ROWS));
      assertEquals(2, requests.get());
      assertEquals(1, retries.get(0).attempt());
    }
  }

  // Proves B40.
  @Test
  void aRefusedConnectionIsTriedAgainUntilSomebodyListens() throws Exception {
    Socket nobody = ScriptedServer.silentPort();
    int port = nobody.getLocalPort();
    List<ScriptedServer> servers = new ArrayList<>();
    try (ScoringClient client =
        ScoringClient.builder("http://127.0.0.1:" + port + "/score")
            .time(time)
            .onRetry(
                retry -> {
                  retries.add(retry);
                  if (retry.attempt() == 2) {
                    servers.add(listener(nobody));
                  }
                })
            .build()) {
      assertArrayEquals(new double[] {2.5}, client.score(ROWS));
      assertEquals("connection refused", retries.get(0).reason());
      assertEquals(1, servers.get(0).requests().size());
    } finally {
      for (ScriptedServer server : servers) {
        server.close();
      }
    }
  }

  private static ScriptedServer listener(Socket instead) {
    try {
      int port = instead.getLocalPort();
      instead.close();
      ServerSocket listener = new ServerSocket(port, 50, java.net.InetAddress.getLoopbackAddress());
      return new ScriptedServer(listener, (request, connection) -> connection.write(GOOD));
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  // Proves B40.
  @Test
  void aKeptConnectionThatTheServerHasLeftIsReplaced() throws Exception {
    AtomicInteger requests = new AtomicInteger();
    try (ScriptedServer server =
            new ScriptedServer(
                (request, connection) -> {
                  if (requests.incrementAndGet() == 2) {
                    connection.reset(); // as it meets a request that crosses the goodbye
                  } else {
                    connection.write(GOOD);
                  }
                });
        ScoringClient client = builder(server.uri("/score")).build()) {
      assertArrayEquals(new double[] {2.5}, client.score(ROWS));
      assertArrayEquals(new double[] {2.5}, client.score(ROWS));
      assertEquals(3, requests.get());
      assertEquals(2, server.connections());
    }
  }

  // Proves B50.
  @Test
  void anErrorWhoseBodyBreaksOffIsRepeatedAsThatStatus() throws Exception {
    try (ScriptedServer server =
            new ScriptedServer(
                (request, connection) -> {
                  connection.write("HTTP/1.1 404 No\r\nContent-Length: 100\r\n\r\nno");
                  connection.close();
                });
        ScoringClient client = builder(server.uri("/score")).build()) {
      assertEquals(404, assertThrows(ServiceException.class, () -> client.score(ROWS)).status());
      assertEquals(1, server.requests().size());
    }
  }

  // Proves B30.
  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void aTimeToConnectThatPassedIsTriedAgain(boolean connectTimeout) throws Exception {
    try (ServerSocket silent = ScriptedServer.listen()) { // the system accepts, nobody answers
      ScoringClient.Builder builder =
          builder("https://127.0.0.1:" + silent.getLocalPort() + "/score").maxRetries(1);
      Duration limit = millis(150);
      try (ScoringClient client =
          (connectTimeout ? builder.connectTimeout(limit) : builder.attemptTimeout(limit))
              .build()) {
        TransportException error = assertThrows(TransportException.class, () -> client.score(ROWS));
        assertTrue(error.timedOut());
        assertEquals(2, error.attempts());
        assertTrue(
            error.getMessage().endsWith("/score: no connection within 0.15 s (2 attempts)"),
            error.getMessage());
        assertEquals("no connection within 0.15 s", retries.get(0).reason());
      }
    }
  }

  // Proves B30, B70, B71.
  @Test
  void theTimeToConnectHoldsForRequestsWithoutABody() throws Exception {
    try (ServerSocket silent = ScriptedServer.listen();
        ScoringClient client =
            builder("https://127.0.0.1:" + silent.getLocalPort() + "/score")
                .maxRetries(1)
                .connectTimeout(millis(150))
                .build()) {
      TransportException swagger = assertThrows(TransportException.class, client::swagger);
      assertTrue(
          swagger.getMessage().endsWith("/swagger.json: no connection within 0.15 s (2 attempts)"),
          swagger.getMessage());
      TransportException health = assertThrows(TransportException.class, client::isHealthy);
      assertTrue(
          health.getMessage().endsWith("/: no connection within 0.15 s (1 attempt)"),
          health.getMessage());
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[2.5"
      })
  // Proves B31.
  void anAttemptThatTakesTooLongIsNotRepeated(String begin) throws Exception {
    try (ScriptedServer server =
            new ScriptedServer(
                (request, connection) -> {
                  connection.write(begin);
                  connection.awaitEnd();
                });
        ScoringClient client = builder(server.uri("/score")).attemptTimeout(millis(300)).build()) {
      TransportException error = assertThrows(TransportException.class, () -> client.score(ROWS));
      assertTrue(error.timedOut());
      assertTrue(
          error.getMessage().endsWith("/score: no complete reply within 0.3 s (1 attempt)"),
          error.getMessage());
      assertEquals(1, server.requests().size());
      server.awaitEndOfConnection();
    }
  }

  // Proves B41.
  @Test
  void aServerWithoutTlsIsNotAskedAgain() throws Exception {
    try (ServerSocket listener = ScriptedServer.listen();
        ScoringClient client =
            builder("https://localhost:" + listener.getLocalPort() + "/score").build()) {
      Thread server =
          new Thread(
              () -> {
                while (true) {
                  try (Socket socket = listener.accept()) {
                    socket.getInputStream().read(); // as a server does, which waits for a request
                    socket
                        .getOutputStream()
                        .write("HTTP/1.1 400 No\r\n\r\n".getBytes(StandardCharsets.UTF_8));
                    socket.getInputStream().readAllBytes();
                  } catch (IOException end) {
                    if (listener.isClosed()) {
                      return;
                    }
                  }
                }
              });
      server.setDaemon(true);
      server.start();
      TransportException error = assertThrows(TransportException.class, () -> client.score(ROWS));
      assertFalse(error.timedOut());
      assertEquals(1, error.attempts());
    }
  }

  // Proves B02.
  @Test
  void noRetriesIsOneAttempt() throws Exception {
    try (ScriptedServer server = ScriptedServer.replying(BUSY, GOOD);
        ScoringClient client = builder(server.uri("/score")).maxRetries(0).build()) {
      assertEquals(1, assertThrows(ServiceException.class, () -> client.score(ROWS)).attempts());
      assertEquals(List.of(), retries);
    }
  }

  // Proves B15.
  @Test
  void callsHaveDifferentIds() throws Exception {
    try (ScriptedServer server = ScriptedServer.replying(BUSY, GOOD, BUSY, GOOD);
        ScoringClient client = builder(server.uri("/score")).build()) {
      client.score(ROWS);
      client.score(ROWS);
      List<String> ids =
          server.requests().stream()
              .map(request -> request.header("x-ms-client-request-id").get(0))
              .toList();
      assertEquals(ids.get(0), ids.get(1));
      assertEquals(ids.get(2), ids.get(3));
      assertEquals(2, new HashSet<>(ids).size());
      assertFalse(Arrays.asList(ids.get(0)).contains(ids.get(2)));
    }
  }
}
