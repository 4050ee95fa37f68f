package azureml.scoring;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What goes out: B10, B11, B12, B14, B15, B16, B17. */
class RequestTest {
  private static final JsonMapper JSON = new JsonMapper();
  private ScriptedServer server;
  private ScoringClient client;

  /** Answers with the first cell of every row. */
  private static void firstCells(
      ScriptedServer.Request request, ScriptedServer.Connection connection)
      throws java.io.IOException {
    List<String> cells = new ArrayList<>();
    for (JsonNode row : JSON.readTree(request.body()).get("data")) {
      cells.add(row.isEmpty() ? "0.5" : row.get(0).toString());
    }
    connection.write(
        ScriptedServer.reply(
            "200 OK\nSet-Cookie: a=b", cells.toString().getBytes(StandardCharsets.UTF_8)));
  }

  @BeforeEach
  void open() {
    server = new ScriptedServer(RequestTest::firstCells);
    client = ScoringClient.create(server.uri("/score"), "K1-!~");
  }

  @AfterEach
  void close() throws Exception {
    client.close();
    server.close();
  }

  // Proves B10, B12, B14, B16, B17.
  @Test
  void oneCallIsOnePostWithTheseHeadersAndNoOther() throws Exception {
    client.score(new double[][] {{1.5, -2.0}, {0.1, 3.0}});

    ScriptedServer.Request request = server.onlyRequest();
    assertEquals("POST /score HTTP/1.1", request.line());
    assertEquals("{\"data\":[[1.5,-2.0],[0.1,3.0]]}", request.text());
    assertEquals(List.of("application/json"), request.header("Content-Type"));
    assertEquals(List.of("Bearer K1-!~"), request.header("Authorization"));
    assertEquals(List.of(String.valueOf(request.body().length)), request.header("Content-Length"));
    assertEquals(List.of("127.0.0.1:" + server.port()), request.header("Host"));
    Set<String> names = new TreeSet<>();
    request
        .headers()
        .forEach(header -> names.add(header.split(":", 2)[0].toLowerCase(Locale.ROOT)));
    assertEquals(
        Set.of(
            "authorization",
            "content-length",
            "content-type",
            "host",
            "user-agent",
            "x-ms-client-request-id"),
        names);
    assertEquals(names.size(), request.headers().size(), "each once");
  }

  // Proves B14.
  @Test
  void withoutAKeyThereIsNoAuthorization() throws Exception {
    try (ScoringClient open = ScoringClient.create(server.uri("/score"), null)) {
      open.score(new double[][] {{1.5}});
      assertEquals(List.of(), server.onlyRequest().header("Authorization"));
    }
  }

  // Proves B15, B16.
  @Test
  void everyCallHasAnIdOfItsOwnAndNoCookie() throws Exception {
    client.score(new double[][] {{1.5}});
    client.score(new double[][] {{1.5}});

    String first = server.requests().get(0).header("x-ms-client-request-id").get(0);
    String second = server.requests().get(1).header("x-ms-client-request-id").get(0);
    assertTrue(first.matches("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), first);
    assertNotEquals(first, second);
    assertEquals(List.of(), server.requests().get(1).header("Cookie"));
    assertEquals(1, server.connections(), "the connection is used again");
  }

  // Proves B10, B51.
  @Test
  @SuppressWarnings("FloatingPointLiteralPrecision") // digits that have to be rounded
  void everyDoubleArrivesBitForBitAndComesBackSo() throws Exception {
    Random random = new Random(20261124);
    List<double[]> rows = new ArrayList<>();
    for (double known :
        new double[] {
          0.0,
          -0.0,
          0.1,
          0.1 + 0.2,
          1e21,
          1e-7,
          1e22,
          1e23,
          4.35,
          Double.MIN_VALUE,
          -Double.MIN_VALUE,
          Double.MIN_NORMAL,
          Double.MAX_VALUE,
          -Double.MAX_VALUE,
          9007199254740993.0,
          123456789.123456789,
          2.2250738585072011e-308
        }) {
      rows.add(new double[] {known});
    }
    while (rows.size() < 5_000) {
      double drawn = Double.longBitsToDouble(random.nextLong());
      if (Double.isFinite(drawn)) {
        rows.add(new double[] {drawn});
      }
    }

    double[] back = client.score(rows.toArray(double[][]::new));

    JsonNode sent = JSON.readTree(server.onlyRequest().body()).get("data");
    for (int i = 0; i < rows.size(); i++) {
      long bits = Double.doubleToRawLongBits(rows.get(i)[0]);
      assertTrue(sent.get(i).get(0).isNumber());
      assertEquals(
          bits,
          Double.doubleToRawLongBits(Double.parseDouble(sent.get(i).get(0).asText())),
          "sent, row " + i);
      assertEquals(bits, Double.doubleToRawLongBits(back[i]), "read, row " + i);
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "NaN       | row 2, column 3 is NaN: JSON has no such number",
        "Infinity  | row 2, column 3 is Infinity: JSON has no such number",
        "-Infinity | row 2, column 3 is Infinity: JSON has no such number"
      })
  // Proves B11.
  void whatJsonCannotWriteIsRefusedAndNothingSent(double cell, String message) {
    double[][] rows = {{1.5, 2.5}, {}, {1.5, 2.5, 3.5, cell}};
    assertEquals(
        message,
        assertThrows(IllegalArgumentException.class, () -> client.score(rows)).getMessage());
    assertEquals(0, server.connections());
  }

  @Test
  void missingRowsAreRefusedAndNothingSent() {
    assertEquals(
        "rows", assertThrows(NullPointerException.class, () -> client.score(null)).getMessage());
    double[][] rows = {{1.5}, null};
    assertEquals(
        "row 1", assertThrows(NullPointerException.class, () -> client.score(rows)).getMessage());
    assertEquals(0, server.connections());
  }

  // Proves B11.
  @Test
  void raggedAndEmptyRowsAreForTheServiceToJudge() throws Exception {
    client.score(new double[][] {{1.5, 2.5}, {}, {3.5}});
    assertArrayEquals(new double[0], client.score(new double[][] {}));
    assertEquals("{\"data\":[[1.5,2.5],[],[3.5]]}", server.requests().get(0).text());
    assertEquals("{\"data\":[]}", server.requests().get(1).text());
  }

  // Proves B10.
  @Test
  void aLargePayloadArrivesWhole() throws Exception {
    double[][] rows = new double[20_000][10];
    double[] predictions = client.score(rows);
    assertEquals(20_000, predictions.length);
    assertEquals(20_000, JSON.readTree(server.onlyRequest().body()).get("data").size());
  }

  // Proves B03.
  @Test
  void threadsShareAClient() throws Exception {
    ExecutorService threads = Executors.newFixedThreadPool(16);
    try {
      List<Future<double[]>> calls = new ArrayList<>();
      for (int i = 0; i < 200; i++) {
        double[][] rows = {{i + 0.5}, {-i - 0.5}};
        calls.add(threads.submit(() -> client.score(rows)));
      }
      for (int i = 0; i < 200; i++) {
        assertArrayEquals(new double[] {i + 0.5, -i - 0.5}, calls.get(i).get());
      }
    } finally {
      threads.shutdownNow();
    }
  }
}
