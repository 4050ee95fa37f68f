package azureml.scoring.bench;

import azureml.scoring.ScoringClient;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Measures what a call costs: with the client, or with java.net.http alone. Prints one line of
 * JSON.
 *
 * <p>{@code --mode bare|client --uri URI --calls N --warmup W --concurrency K --rows R}, the key in
 * SCORING_KEY.
 */
final class Bench {
  private static final Set<String> OPTIONS =
      Set.of("--mode", "--uri", "--calls", "--warmup", "--concurrency", "--rows");
  private static final JsonMapper JSON = new JsonMapper();

  private Bench() {}

  /** One way to make a call. */
  private interface Scorer {
    double[] score(double[][] rows) throws Exception;
  }

  public static void main(String[] args) throws InterruptedException {
    try {
      measure(args);
    } catch (IllegalArgumentException e) {
      stop(2, e.getMessage());
    } catch (ExecutionException | IOException e) {
      Throwable cause = e instanceof ExecutionException ? e.getCause() : e;
      stop(1, String.valueOf(cause.getMessage() == null ? cause : cause.getMessage()));
    }
  }

  private static void measure(String[] args)
      throws IOException, InterruptedException, ExecutionException {
    Map<String, String> options = new HashMap<>();
    for (int i = 0; i < args.length; i += 2) {
      if (!OPTIONS.contains(args[i]) || i + 1 == args.length) {
        throw new IllegalArgumentException("no such option, or one without a value: " + args[i]);
      }
      options.put(args[i], args[i + 1]);
    }
    if (!options.containsKey("--uri") || !options.containsKey("--mode")) {
      throw new IllegalArgumentException("--mode and --uri are needed");
    }
    int calls = count(options, "--calls", 1_000, 1);
    int warmup = count(options, "--warmup", 100, 0);
    int concurrency = count(options, "--concurrency", 1, 1);
    double[][] rows = new double[count(options, "--rows", 2, 1)][10];
    for (int i = 0; i < rows.length; i++) {
      for (int j = 0; j < 10; j++) {
        rows[i][j] = (i * 10 + j) / 7.0;
      }
    }
    Scorer scorer =
        switch (options.get("--mode")) {
          case "bare" -> bare(options.get("--uri"), System.getenv("SCORING_KEY"));
          case "client" ->
              ScoringClient.create(options.get("--uri"), System.getenv("SCORING_KEY"))::score;
          default -> throw new IllegalArgumentException("--mode must be bare or client");
        };
    ExecutorService threads = Executors.newFixedThreadPool(concurrency);
    run(scorer, rows, warmup, concurrency, threads);
    double cpu = cpuSeconds();
    long start = System.nanoTime();
    long[] took = run(scorer, rows, calls, concurrency, threads);
    double seconds = (System.nanoTime() - start) / 1e9;
    cpu = cpuSeconds() - cpu;
    threads.shutdown();
    Arrays.sort(took);
    Map<String, Object> result = new LinkedHashMap<>();
    result.put("calls", calls);
    result.put("seconds", seconds);
    result.put("cpu_seconds", cpu);
    result.put("p50_us", took[(calls - 1) / 2] / 1e3);
    result.put("p99_us", took[(int) (0.99 * (calls - 1))] / 1e3);
    result.put("peak_rss_bytes", peakMemory());
    System.out.println(JSON.writeValueAsString(result));
    System.exit(0); // an HttpClient's threads would stay
  }

  /** What the quickstart does: one HTTP client, one time limit, no retries. */
  private static Scorer bare(String uri, String key) {
    HttpClient http = HttpClient.newHttpClient();
    HttpRequest.Builder template =
        HttpRequest.newBuilder(URI.create(uri))
            .version(HttpClient.Version.HTTP_1_1)
            .header("Content-Type", "application/json");
    if (key != null) {
      template.header("Authorization", "Bearer " + key);
    }
    return rows -> {
      byte[] payload = JSON.writeValueAsBytes(Map.of("data", rows));
      HttpRequest request = template.copy().POST(BodyPublishers.ofByteArray(payload)).build();
      HttpResponse<String> response =
          http.sendAsync(request, BodyHandlers.ofString()).get(60, TimeUnit.SECONDS);
      if (response.statusCode() != 200) {
        throw new IOException(response.statusCode() + ": " + response.body());
      }
      double[] predictions;
      try {
        predictions = JSON.readValue(response.body(), double[].class);
      } catch (JsonProcessingException e) {
        throw new IOException("the reply is not an array of numbers");
      }
      if (predictions.length != rows.length) {
        throw new IOException(predictions.length + " predictions for " + rows.length + " rows");
      }
      return predictions;
    };
  }

  /** Makes the calls and returns what each took, in nanoseconds. */
  private static long[] run(
      Scorer scorer, double[][] rows, int calls, int concurrency, ExecutorService threads)
      throws InterruptedException, ExecutionException {
    long[] took = new long[calls];
    AtomicInteger next = new AtomicInteger();
    List<Future<Void>> workers = new ArrayList<>();
    for (int i = 0; i < concurrency; i++) {
      workers.add(
          threads.submit(
              () -> {
                for (int n = next.getAndIncrement(); n < calls; n = next.getAndIncrement()) {
                  long start = System.nanoTime();
                  scorer.score(rows);
                  took[n] = System.nanoTime() - start;
                }
                return null;
              }));
    }
    for (Future<Void> worker : workers) {
      worker.get();
    }
    return took;
  }

  private static int count(Map<String, String> options, String name, int otherwise, int least) {
    String text = options.getOrDefault(name, String.valueOf(otherwise));
    if (!text.matches("[0-9]{1,9}") || Integer.parseInt(text) < least) {
      throw new IllegalArgumentException(name + " must be a whole number from " + least);
    }
    return Integer.parseInt(text);
  }

  private static double cpuSeconds() {
    return ProcessHandle.current().info().totalCpuDuration().orElseThrow().toNanos() / 1e9;
  }

  private static long peakMemory() throws IOException {
    for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
      if (line.startsWith("VmHWM:")) {
        return 1_024 * Long.parseLong(line.replaceAll("[^0-9]", ""));
      }
    }
    throw new IOException("the system does not tell the peak of memory");
  }

  private static void stop(int status, String text) {
    System.err.println(text.replaceAll("\\s+", " "));
    System.exit(status);
  }
}
