package azureml.scoring;

import static azureml.scoring.ScriptedServer.reply;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import azureml.scoring.ScoringClient.AccessToken;
import azureml.scoring.ScoringClient.ServiceException;
import azureml.scoring.ScoringClient.TokenProvider;
import azureml.scoring.ScoringClient.TransportException;
import java.io.IOException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Supplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Tokens of a provider: when they are fetched, by whom, and what a refusal does. */
class TokenTest {
  private static final double[][] ROWS = {{1.5}};
  private static final int CALLERS = 64;

  private final FakeTime time = new FakeTime(0.5);
  private final AtomicInteger fetches = new AtomicInteger();

  /** The tokens that the service takes; any if empty. */
  private volatile List<String> good = List.of();

  private final ScriptedServer server =
      new ScriptedServer(
          (request, connection) -> {
            List<String> sent = request.header("Authorization");
            boolean taken =
                good.isEmpty() || good.stream().anyMatch(t -> sent.contains("Bearer " + t));
            connection.write(
                taken ? reply("200 OK", "[2.5]") : reply("401 No", "not " + sent + ", try again"));
          });

  @AfterEach
  void close() throws IOException {
    server.close();
  }

  private ScoringClient client(TokenProvider provider) {
    return ScoringClient.builder(server.uri("/score"))
        .time(time)
        .tokenProvider(
            () -> {
              fetches.incrementAndGet();
              return provider.fetch();
            })
        .build();
  }

  private List<String> sent() {
    return server.requests().stream()
        .map(request -> request.header("Authorization").get(0).replace("Bearer ", ""))
        .toList();
  }

  /** T1, T2 and so on, each good for a minute. */
  private AccessToken next() {
    return new AccessToken("T" + fetches.get(), time.now().plusSeconds(60));
  }

  // Proves B24.
  @Test
  void aTokenServesUntilItsTime() throws Exception {
    try (ScoringClient client = client(this::next)) {
      assertEquals(0, fetches.get(), "not before it is needed");
      client.score(ROWS);
      time.advance(Duration.ofSeconds(59));
      client.swagger();
      time.advance(Duration.ofSeconds(1));
      client.score(ROWS);
      client.isHealthy();
    }
    assertEquals(List.of("T1", "T1", "T2", "T2"), sent());
  }

  // Proves B24.
  @Test
  void aTokenWithoutATimeServesUntilItIsRefused() throws Exception {
    try (ScoringClient client = client(() -> new AccessToken("T" + fetches.get()))) {
      client.score(ROWS);
      time.advance(Duration.ofDays(1_000));
      client.score(ROWS);
      good = List.of("T2");
      assertArrayEquals(new double[] {2.5}, client.score(ROWS));
      client.score(ROWS);
    }
    assertEquals(List.of("T1", "T1", "T1", "T2", "T2"), sent());
  }

  // Proves B25, B60.
  @Test
  void aRefusedTokenIsReplacedOnceAndTheRequestCounts() throws Exception {
    good = List.of("none");
    List<ScoringClient.Retry> retries = new ArrayList<>();
    try (ScoringClient client =
        ScoringClient.builder(server.uri("/score"))
            .maxRetries(0)
            .onRetry(retries::add)
            .tokenProvider(() -> new AccessToken("T" + fetches.incrementAndGet()))
            .build()) {
      ServiceException error = assertThrows(ServiceException.class, () -> client.score(ROWS));
      assertEquals(401, error.status());
      assertEquals(2, error.attempts());
      assertEquals("not [Bearer ***], try again", error.serviceMessage());
    }
    assertEquals(List.of("T1", "T2"), sent());
    assertEquals(
        server.requests().get(0).header("x-ms-client-request-id"),
        server.requests().get(1).header("x-ms-client-request-id"));
    assertEquals(List.of(), retries);
    assertEquals(List.of(), time.sleeps());
  }

  // Proves B25, B71.
  @Test
  void healthAsksForANewTokenToo() throws Exception {
    good = List.of("T2");
    try (ScoringClient client = client(this::next)) {
      client.isHealthy();
    }
    assertEquals(List.of("T1", "T2"), sent());
  }

  // Proves B25.
  @Test
  void theSameTokenAgainEndsTheCallAndIsNotKept() throws Exception {
    good = List.of("none");
    try (ScoringClient client = client(() -> new AccessToken("T"))) {
      ServiceException error = assertThrows(ServiceException.class, () -> client.score(ROWS));
      assertEquals(1, error.attempts());
      assertEquals(2, fetches.get());
      good = List.of("T");
      client.score(ROWS);
      assertEquals(3, fetches.get());
    }
  }

  // Proves B25.
  @Test
  void aTokenThatAnotherCallHasReplacedIsUsedWithoutAFetch() throws Exception {
    CountDownLatch refused = new CountDownLatch(1);
    CountDownLatch replaced = new CountDownLatch(1);
    try (ScriptedServer slow =
            new ScriptedServer(
                (request, connection) -> {
                  boolean first = request.text().contains("1.5");
                  if (request.header("Authorization").contains("Bearer T2")) {
                    connection.write(reply("200 OK", "[2.5]"));
                    return;
                  }
                  if (first) {
                    refused.countDown();
                    await(replaced);
                  }
                  connection.write(reply("401 No", ""));
                });
        ScoringClient client =
            ScoringClient.builder(slow.uri("/score"))
                .tokenProvider(() -> new AccessToken("T" + fetches.incrementAndGet()))
                .build()) {
      Future<double[]> late = start(() -> score(client, 1.5));
      refused.await();
      score(client, 3.5);
      replaced.countDown();
      assertArrayEquals(new double[] {2.5}, late.get());
      assertEquals(2, fetches.get());
    }
  }

  // Proves B24, B25.
  @Test
  void aProviderThatFailsAfterARefusalEndsTheCall() throws Exception {
    good = List.of("none");
    IllegalStateException thrown = new IllegalStateException("no login");
    try (ScoringClient client =
        client(
            () -> {
              if (fetches.get() > 1) {
                throw thrown;
              }
              return new AccessToken("T1");
            })) {
      assertSame(thrown, assertThrows(RuntimeException.class, () -> client.score(ROWS)));
    }
    assertEquals(List.of("T1"), sent());
  }

  // Proves B24, B60.
  @Test
  void theExceptionOfAProviderReachesTheCallerUnchangedAndUnrepeated() throws Exception {
    for (Throwable thrown :
        List.of(
            new CompletionException("wrapped", new IOException("x")),
            new AssertionError("an error"),
            new IOException("one that nobody declared"))) {
      int before = fetches.get();
      try (ScoringClient client = client(() -> TokenTest.<RuntimeException>fail(thrown))) {
        assertSame(thrown, assertThrows(Throwable.class, () -> client.score(ROWS)));
        assertEquals(before + 1, fetches.get());
      }
    }
    assertEquals(0, server.connections());
  }

  @SuppressWarnings("unchecked")
  private static <E extends Throwable> AccessToken fail(Throwable thrown) throws E {
    throw (E) thrown;
  }

  // Proves B24.
  @Test
  void aRefreshThatFailsLeavesTheOldTokenAndTheNextCallAsksAgain() throws Exception {
    Map<Integer, Supplier<AccessToken>> answers =
        Map.of(
            1, () -> new AccessToken("T1", time.now()),
            2,
                () -> {
                  throw new IllegalStateException("no login");
                },
            3, () -> new AccessToken("T3\n"),
            4, () -> null,
            5, () -> new AccessToken("T5"));
    try (ScoringClient client = client(() -> answers.get(fetches.get()).get())) {
      for (int i = 0; i < 6; i++) {
        client.score(ROWS);
      }
    }
    assertEquals(List.of("T1", "T1", "T1", "T1", "T5", "T5"), sent());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "``             | the token is empty",
        "`hunter2\n`    | the token has a character that cannot be sent in a header at position 7 (a trailing newline?)",
        "`hunter2\r\nX: 1` | the token has a character that cannot be sent in a header at position 7 (a trailing newline?)",
        "                | the token provider must return an AccessToken, not null"
      })
  // Proves B20, B24.
  void aTokenThatCannotTravelIsAnArgumentError(String token, String message) {
    try (ScoringClient client = client(() -> token == null ? null : new AccessToken(token))) {
      assertEquals(
          message,
          assertThrows(IllegalArgumentException.class, () -> client.score(ROWS)).getMessage());
      assertEquals(0, server.connections());
    }
  }

  // Proves B24, B32.
  @Test
  void aProviderThatHangsEndsWithTheTimeOfTheCall() throws Exception {
    CompletableFuture<AccessToken> login = new CompletableFuture<>();
    try (ScoringClient client = client(login::join)) {
      TransportException error =
          assertThrows(TransportException.class, () -> client.score(ROWS, Duration.ofMillis(100)));
      assertTrue(error.timedOut());
      assertEquals(0, error.attempts());
      assertEquals(
          "POST " + server.uri("/score") + ": no token within 0.1 s (0 attempts)",
          error.getMessage());

      // Who gives up does not cancel the fetch, and no second one starts.
      Future<double[]> patient = start(() -> score(client, 1.5));
      login.complete(new AccessToken("T"));
      assertArrayEquals(new double[] {2.5}, patient.get());
      assertEquals(1, fetches.get());
    }
  }

  // Proves B24.
  @Test
  void aFetchThatCannotBeginWedgesNothing() throws Exception {
    OutOfMemoryError thrown = new OutOfMemoryError("unable to create native thread");
    try (ScoringClient client = client(this::next)) {
      time.failNextStart(thrown);
      assertSame(thrown, assertThrows(Error.class, () -> client.score(ROWS)));
      assertArrayEquals(new double[] {2.5}, client.score(ROWS, Duration.ofSeconds(10)));
    }
    assertEquals(List.of("T1"), sent());
  }

  // Proves B24, B33.
  @Test
  void anInterruptEndsTheWaitOfOneCallerOnly() throws Exception {
    CompletableFuture<AccessToken> login = new CompletableFuture<>();
    CountDownLatch asked = new CountDownLatch(1);
    try (ScoringClient client =
        client(
            () -> {
              asked.countDown();
              return login.join();
            })) {
      CompletableFuture<Throwable> end = new CompletableFuture<>();
      Thread hasty =
          new Thread(() -> end.complete(assertThrows(Throwable.class, () -> client.score(ROWS))));
      hasty.start();
      Future<double[]> patient = start(() -> score(client, 1.5));
      asked.await();
      hasty.interrupt();
      assertEquals(InterruptedException.class, end.get().getClass());
      login.complete(new AccessToken("T"));
      assertArrayEquals(new double[] {2.5}, patient.get());
      assertEquals(1, fetches.get());
    }
  }

  // Proves B03, B24.
  @Test
  void manyCallersShareOneFetch() throws Exception {
    CompletableFuture<AccessToken> login = new CompletableFuture<>();
    try (ScoringClient client = client(login::join)) {
      List<Future<double[]>> calls = callers(() -> score(client, 1.5));
      login.complete(new AccessToken("T"));
      for (Future<double[]> call : calls) {
        assertArrayEquals(new double[] {2.5}, call.get());
      }
      assertEquals(1, fetches.get());
    }
  }

  // Proves B24, B25.
  @Test
  void manyCallersWhoseTokenIsRefusedShareOneFetch() throws Exception {
    CyclicBarrier all = new CyclicBarrier(CALLERS);
    try (ScriptedServer strict =
            new ScriptedServer(
                (request, connection) -> {
                  if (request.header("Authorization").contains("Bearer T1")) {
                    await(all);
                    connection.write(reply("401 No", ""));
                  } else {
                    connection.write(reply("200 OK", "[2.5]"));
                  }
                });
        ScoringClient client =
            ScoringClient.builder(strict.uri("/score"))
                .tokenProvider(() -> new AccessToken("T" + fetches.incrementAndGet()))
                .build()) {
      for (Future<double[]> call : callers(() -> score(client, 1.5))) {
        assertArrayEquals(new double[] {2.5}, call.get());
      }
      assertEquals(2, fetches.get());
      assertEquals(2 * CALLERS, strict.requests().size());
    }
  }

  // Proves B24.
  @Test
  void manyCallersGetTheOneException() throws Exception {
    CompletableFuture<AccessToken> login = new CompletableFuture<>();
    IllegalStateException thrown = new IllegalStateException("no login");
    CountDownLatch waiting = new CountDownLatch(1);
    try (ScoringClient client =
        client(
            () -> {
              waiting.countDown();
              login.join();
              throw thrown;
            })) {
      Future<double[]> call = start(() -> score(client, 1.5));
      waiting.await();
      Future<double[]> other = start(() -> score(client, 1.5));
      login.complete(null);
      assertSame(thrown, cause(call));
      assertSame(thrown, cause(other));
    }
  }

  // Proves B21.
  @ParameterizedTest
  @ValueSource(strings = {"hunter2", "hunter2/a+b=="})
  void aTokenIsShownNowhere(String token) throws Exception {
    AccessToken shown = new AccessToken(token, Instant.EPOCH);
    assertEquals("AccessToken(***, refreshBy=1970-01-01T00:00:00Z)", shown.toString());
    good = List.of("none");
    List<String> tokens = List.of(token, token + "2");
    try (ScoringClient client =
        client(() -> new AccessToken(tokens.get((fetches.get() - 1) % 2)))) {
      ServiceException error = assertThrows(ServiceException.class, () -> client.score(ROWS));
      assertEquals(2, error.attempts());
      assertEquals("not [Bearer ***], try again", error.serviceMessage());
      assertFalse(client.toString().contains("hunter2"));
    }
  }

  // Proves B23.
  @Test
  void aTokenDoesNotTravelInTheOpen() {
    ScoringClient.Builder builder =
        ScoringClient.builder("http://host/score").tokenProvider(() -> new AccessToken("T"));
    assertThrows(IllegalArgumentException.class, builder::build);
    builder.allowInsecureHttp(true).build().close();
  }

  private static double[] score(ScoringClient client, double cell) {
    try {
      return client.score(new double[][] {{cell}});
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  private static Throwable cause(Future<?> call) {
    return assertThrows(java.util.concurrent.ExecutionException.class, call::get).getCause();
  }

  private static <T> Future<T> start(Supplier<T> work) {
    CompletableFuture<T> done = new CompletableFuture<>();
    Thread thread =
        new Thread(
            () -> {
              try {
                done.complete(work.get());
              } catch (Throwable e) {
                done.completeExceptionally(e);
              }
            });
    thread.setDaemon(true);
    thread.start();
    return done;
  }

  private static <T> List<Future<T>> callers(Supplier<T> work) {
    ExecutorService threads = Executors.newFixedThreadPool(CALLERS);
    List<Future<T>> calls = new ArrayList<>();
    for (int i = 0; i < CALLERS; i++) {
      calls.add(threads.submit(work::get));
    }
    threads.shutdown();
    return calls;
  }

  private static void await(CountDownLatch latch) {
    try {
      latch.await();
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  private static void await(CyclicBarrier barrier) {
    try {
      barrier.await();
    } catch (Exception e) {
      throw new AssertionError(e);
    }
  }
}
