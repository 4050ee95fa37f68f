package azureml.scoring;

import static azureml.scoring.ScriptedServer.reply;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.json.JsonMapper;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Many callers, cancellation at every stage, and what is left after a client is closed. */
class LifetimeTest {
  private static final double[][] ROWS = {{1.5}};
  private static final int CALLERS = 64;
  private static final boolean CAN_CLOSE = Runtime.version().feature() >= 21;

  /** Waits for a condition; the limit is for what hangs. */
  private static void await(String what, BooleanSupplier condition) throws InterruptedException {
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
    while (!condition.getAsBoolean()) {
      assertTrue(System.nanoTime() < end, what);
      if (!CAN_CLOSE) {
        System.gc(); // before Java 21 connections go when the client is collected
      }
      Thread.sleep(10);
    }
  }

  private static Set<Thread> clientThreads() {
    return Thread.getAllStackTraces().keySet().stream()
        .filter(
            thread ->
                thread.getName().startsWith("HttpClient-")
                    || thread.getName().startsWith("scoring-client-"))
        .collect(Collectors.toSet());
  }

  /** A call in a thread of its own, which can be interrupted. */
  private static final class Running {
    private final CompletableFuture<Throwable> end = new CompletableFuture<>();
    private final Thread thread;

    private Running(ScoringClient client) {
      thread =
          new Thread(
              () -> {
                try {
                  client.score(ROWS);
                  end.complete(null);
                } catch (Throwable e) {
                  end.complete(e);
                }
              });
      thread.setDaemon(true);
      thread.start();
    }

    private void interrupt() throws Exception {
      thread.interrupt();
      assertInstanceOf(InterruptedException.class, end.get());
    }
  }

  // Proves B03.
  @Test
  void manyCallersGetTheirOwnAnswersOverFewConnectionsAndNothingIsLeft() throws Exception {
    Set<Thread> before = clientThreads();
    JsonMapper json = new JsonMapper();
    try (ScriptedServer server =
        new ScriptedServer(
            (request, connection) ->
                connection.write(
                    reply("200 OK", "[" + json.readTree(request.body()).at("/data/0/0") + "]")))) {
      callAtOnce(server);
      assertTrue(server.connections() <= CALLERS, "connections: " + server.connections());
      assertEquals(5 * CALLERS, server.requests().size());
      await("every connection ends", () -> server.openConnections() == 0);
    }
    await("every thread ends", () -> before.containsAll(clientThreads()));
  }

  /** In a method of its own, so that before Java 21 the client can be collected after it. */
  private static void callAtOnce(ScriptedServer server) throws Exception {
    ExecutorService threads = Executors.newFixedThreadPool(CALLERS);
    CyclicBarrier start = new CyclicBarrier(CALLERS);
    try (ScoringClient client = ScoringClient.create(server.uri("/score"), "K1")) {
      List<Future<Void>> calls = new ArrayList<>();
      for (int i = 0; i < CALLERS; i++) {
        double number = i + 0.25;
        calls.add(
            threads.submit(
                () -> {
                  start.await();
                  for (int n = 0; n < 5; n++) {
                    double sent = number + 1_000 * n;
                    assertArrayEquals(new double[] {sent}, client.score(new double[][] {{sent}}));
                  }
                  return null;
                }));
      }
      for (Future<Void> call : calls) {
        call.get();
      }
    } finally {
      threads.shutdownNow();
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "HTTP/1.1 2",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[2.5",
        "HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\nbusy"
      })
  // Proves B33.
  void anInterruptEndsTheWaitForAReplyAndTheConnection(String begin) throws Exception {
    CountDownLatch written = new CountDownLatch(1);
    try (ScriptedServer server =
            new ScriptedServer(
                (request, connection) -> {
                  connection.write(begin);
                  written.countDown();
                  connection.awaitEnd();
                });
        ScoringClient client = ScoringClient.create(server.uri("/score"), null)) {
      Running call = new Running(client);
      written.await();
      call.interrupt();
      server.awaitEndOfConnection();
      assertEquals(1, server.requests().size());
    }
  }

  // Proves B33.
  @Test
  void anInterruptEndsTheHandshake() throws Exception {
    try (ServerSocket silent = ScriptedServer.listen();
        ScoringClient client =
            ScoringClient.create("https://127.0.0.1:" + silent.getLocalPort() + "/score", null)) {
      Running call = new Running(client);
      try (java.net.Socket accepted = silent.accept()) {
        assertTrue(accepted.getInputStream().read() >= 0); // it has said hello
        call.interrupt();
        accepted.getInputStream().transferTo(java.io.OutputStream.nullOutputStream());
      } catch (java.net.SocketException reset) {
        // an end as well
      }
    }
  }

  // Proves B33.
  @Test
  void anInterruptEndsConnecting() throws Exception {
    try (ServerSocket full = new ServerSocket(0, 1, java.net.InetAddress.getLoopbackAddress());
        ScoringClient client =
            ScoringClient.create("http://127.0.0.1:" + full.getLocalPort() + "/score", null)) {
      List<java.net.Socket> waiting = new ArrayList<>();
      for (int i = 0; i < 2; i++) { // what the listener's queue holds, and nobody accepts
        waiting.add(new java.net.Socket(full.getInetAddress(), full.getLocalPort()));
      }
      Running call = new Running(client);
      await("the call waits", () -> call.thread.getState() == Thread.State.TIMED_WAITING);
      call.interrupt();
      for (java.net.Socket socket : waiting) {
        socket.close();
      }
    }
  }

  // Proves B33, B48.
  @Test
  void anInterruptEndsTheWaitBetweenAttempts() throws Exception {
    CountDownLatch told = new CountDownLatch(1);
    try (ScriptedServer server = ScriptedServer.replying("503 Busy\nRetry-After: 50", "");
        ScoringClient client =
            ScoringClient.builder(server.uri("/score"))
                .onRetry(retry -> told.countDown())
                .build()) {
      Running call = new Running(client);
      told.await();
      call.interrupt();
      assertEquals(1, server.requests().size());
    }
  }

  // Proves B33.
  @Test
  void aThreadThatIsInterruptedAlreadyGetsNoAnswer() throws Exception {
    try (ScriptedServer server =
            new ScriptedServer((request, connection) -> connection.awaitEnd());
        ScoringClient client = ScoringClient.create(server.uri("/score"), null)) {
      Thread.currentThread().interrupt();
      assertThrows(InterruptedException.class, () -> client.score(ROWS));
    }
  }

  // Proves B03, B33.
  @Test
  void nothingIsLeftOfCallsThatWereCancelled() throws Exception {
    Set<Thread> before = clientThreads();
    try (ScriptedServer server =
        new ScriptedServer((request, connection) -> connection.awaitEnd())) {
      cancelAtOnce(server);
      await("every connection ends", () -> server.openConnections() == 0);
    }
    await("every thread ends", () -> before.containsAll(clientThreads()));
  }

  private static void cancelAtOnce(ScriptedServer server) throws Exception {
    try (ScoringClient client = ScoringClient.create(server.uri("/score"), null)) {
      List<Running> calls = new ArrayList<>();
      for (int i = 0; i < CALLERS; i++) {
        calls.add(new Running(client));
      }
      for (int i = 0; i < CALLERS; i++) {
        server.take();
      }
      for (Running call : calls) {
        call.interrupt();
      }
    }
  }

  // Proves B03.
  @Test
  void callsUnderWayOutliveTheClientAndLaterOnesAreRefused() throws Exception {
    CountDownLatch proceed = new CountDownLatch(1);
    try (ScriptedServer server =
        new ScriptedServer(
            (request, connection) -> {
              try {
                proceed.await();
              } catch (InterruptedException e) {
                throw new java.io.InterruptedIOException();
              }
              connection.write(reply("200 OK", "[2.5]"));
            })) {
      ScoringClient client = ScoringClient.create(server.uri("/score"), null);
      Running call = new Running(client);
      server.take();
      client.close(); // does not wait
      client.close();
      for (org.junit.jupiter.api.function.Executable later :
          List.<org.junit.jupiter.api.function.Executable>of(
              () -> client.score(ROWS),
              () -> client.scoreJson("1"),
              () -> client.scoreBytes(new byte[1], "a/b"),
              client::swagger,
              client::isHealthy)) {
        assertEquals(
            "the client is closed", assertThrows(IllegalStateException.class, later).getMessage());
      }
      proceed.countDown();
      assertEquals(null, call.end.get());
      assertEquals(1, server.requests().size());
      if (CAN_CLOSE) {
        server.awaitEndOfConnection();
      }
    }
  }

  // Proves B03.
  @Test
  void aCallThatWaitsToRepeatOutlivesTheClient() throws Exception {
    List<ScoringClient> clients = new ArrayList<>();
    try (ScriptedServer server =
        ScriptedServer.replying(
            reply("503 Busy", ""), reply("200 OK", "[2.5]".getBytes(StandardCharsets.UTF_8)))) {
      ScoringClient client =
          ScoringClient.builder(server.uri("/score"))
              .baseDelay(Duration.ofMillis(1))
              .onRetry(retry -> clients.get(0).close())
              .build();
      clients.add(client);
      assertArrayEquals(new double[] {2.5}, client.score(ROWS));
      assertThrows(IllegalStateException.class, () -> client.score(ROWS));
    }
  }

  // Proves B03.
  @Test
  void closingKeepsTheInterruptOfAThread() throws Exception {
    ScoringClient client = ScoringClient.create("https://host/score", null);
    Thread.currentThread().interrupt();
    client.close();
    assertTrue(Thread.interrupted());
    ScoringClient.create("https://host/score", null).close();
    assertTrue(!Thread.interrupted());
  }
}
