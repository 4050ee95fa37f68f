import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * Sends two rows to SCORING_URI, with SCORING_KEY if it is set, and prints their predictions.
 *
 * <p>{@code java Quickstart.java} (Java 17 or later). SCORING_TIMEOUT is in seconds, 60 by default.
 */
class Quickstart {
  static final String PAYLOAD =
      """
      {"data": [
        [0.0199132141783263, 0.0506801187398187, 0.104808689473925, 0.0700725447072635, -0.0359677812752396,
         -0.0266789028311707, -0.0249926566315915, -0.00259226199818282, 0.00371173823343597, 0.0403433716478807],
        [-0.0127796318808497, -0.044641636506989, 0.0606183944448076, 0.0528581912385822, 0.0479653430750293,
         0.0293746718291555, -0.0176293810234174, 0.0343088588777263, 0.0702112981933102, 0.00720651632920303]
      ]}
      """;

  static final String KEY = env("SCORING_KEY", ""); // some services need none

  public static void main(String[] args) throws InterruptedException {
    int fit = KEY.split("[^!-~]", 2)[0].length();
    if (fit < KEY.length()) {
      String what = "SCORING_KEY has a character that cannot be sent in a header at position ";
      stop(2, what + fit + " (a trailing newline?)");
    }
    String timeout = env("SCORING_TIMEOUT", "60");
    boolean number = timeout.matches("[0-9]{1,5}([.][0-9]{1,3})?");
    long millis = number ? Math.round(1000 * Double.parseDouble(timeout)) : 0;
    if (millis < 1 || millis > 86_400_000) {
      stop(2, "SCORING_TIMEOUT must be a number of seconds from 0.001 to 86400");
    }
    HttpRequest.Builder request = HttpRequest.newBuilder().version(HttpClient.Version.HTTP_1_1);
    try {
      request.uri(URI.create(env("SCORING_URI", "")));
    } catch (IllegalArgumentException e) { // its message shows the URI
      stop(2, "SCORING_URI must be set to an absolute http or https URI");
    }
    request.header("Content-Type", "application/json").POST(BodyPublishers.ofString(PAYLOAD));
    if (!KEY.isEmpty()) {
      request.header("Authorization", "Bearer " + KEY);
    }

    // It follows no redirect, so the key stays with its host. The time is for the whole call.
    HttpClient client = HttpClient.newHttpClient();
    try {
      HttpResponse<String> response =
          client
              .sendAsync(request.build(), BodyHandlers.ofString())
              .get(millis, TimeUnit.MILLISECONDS);
      String reply = String.valueOf(response.body()).strip();
      if (response.statusCode() / 100 != 2) {
        stop(1, response.statusCode() + ": " + reply);
      }
      if (!reply.startsWith("[") || !reply.endsWith("]")) {
        stop(1, "the reply is not a JSON array: " + reply);
      }
      System.out.println(reply.replaceAll("\\s+", " "));
    } catch (TimeoutException e) {
      stop(1, "no complete reply within " + timeout + " s");
    } catch (ExecutionException e) {
      String host = request.build().uri().getAuthority().replaceAll(".*@", "");
      stop(1, "cannot reach " + host + ": " + e.getCause());
    }
  }

  static String env(String name, String otherwise) {
    String value = System.getenv(name);
    return value == null || value.isEmpty() ? otherwise : value;
  }

  /** Ends the program with one line, in which the key does not appear. */
  static void stop(int status, String text) {
    String line = (KEY.isEmpty() ? text : text.replace(KEY, "***")).replaceAll("\\s+", " ");
    System.err.println(line.substring(0, Math.min(line.length(), 500)));
    System.exit(status);
  }
}
