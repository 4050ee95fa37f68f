import azureml.scoring.ScoringClient;
import azureml.scoring.ScoringClient.AccessToken;
import azureml.scoring.ScoringClient.Retry;
import azureml.scoring.ScoringClient.ScoringException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * Sends a picture to a scoring service, with a token that something else keeps fresh.
 *
 * <p>{@code SCORING_URI=https://... SCORING_TOKEN_FILE=/run/secrets/token java -cp
 * "target/classes:target/lib/*" Example.java digit.pgm}
 *
 * <p>SCORING_CA_FILE names a file of certificates to trust, SCORING_TIMEOUT is in seconds; both may
 * be unset. Waits between attempts are logged. Ctrl-C cancels the call.
 */
class Example {
  static final Logger LOGGER;

  static {
    // One line for each record; the default has two.
    System.setProperty("java.util.logging.SimpleFormatter.format", "%4$s %3$s: %5$s%n");
    LOGGER = System.getLogger("example");
  }

  /** The end of the program: its exit code, and one line that says why. */
  static final class Stop extends Exception {
    private static final long serialVersionUID = 1L;
    final int status;

    Stop(int status, String text) {
      super(text.replaceAll("\\s+", " "));
      this.status = status;
    }
  }

  public static void main(String[] args) {
    CountDownLatch ended = new CountDownLatch(1);
    Thread caller = Thread.currentThread();
    Runtime.getRuntime().addShutdownHook(new Thread(() -> cancel(caller, ended))); // Ctrl-C
    int status = 0;
    try {
      score(args);
    } catch (Stop stop) {
      System.err.println(stop.getMessage());
      status = stop.status;
    } finally {
      ended.countDown();
    }
    System.exit(status);
  }

  static void score(String[] args) throws Stop {
    if (args.length != 1) {
      throw new Stop(2, "usage: java Example.java IMAGE");
    }
    String timeout = env("SCORING_TIMEOUT", "100");
    if (!timeout.matches("[0-9]{1,5}([.][0-9]{1,3})?")) {
      throw new Stop(2, "SCORING_TIMEOUT must be a number of seconds");
    }
    Path tokenFile = Path.of(required("SCORING_TOKEN_FILE"));
    String caFile = env("SCORING_CA_FILE", "");
    byte[] image;
    ScoringClient client;
    try {
      image = Files.readAllBytes(Path.of(args[0]));
      client =
          ScoringClient.builder(required("SCORING_URI"))
              .tokenProvider(() -> readToken(tokenFile))
              .timeout(Duration.ofMillis(Math.round(1000 * Double.parseDouble(timeout))))
              .caFile(caFile.isEmpty() ? null : Path.of(caFile))
              .onRetry(Example::logRetry)
              .build();
    } catch (IOException e) {
      throw new Stop(2, "the image cannot be read: " + reason(e));
    } catch (IllegalArgumentException e) {
      throw new Stop(2, e.getMessage());
    }
    // [START call]
    try (client) {
      byte[] reply = client.scoreBytes(image, "image/x-portable-graymap");
      String text = new String(reply, StandardCharsets.UTF_8);
      System.out.println(text.strip().replaceAll("\\s+", " "));
    } catch (ScoringException e) {
      throw new Stop(1, e.getMessage()); // what the service, the network or the reply came to
    } catch (UncheckedIOException e) {
      throw new Stop(1, "the token file cannot be read: " + reason(e.getCause())); // readToken's
    } catch (IllegalArgumentException e) {
      throw new Stop(1, e.getMessage()); // a token that cannot be sent
    } catch (InterruptedException e) {
      throw new Stop(130, "cancelled");
    }
    // [END call]
  }

  /** Reads the file each time a token is needed, so a new one is found within five minutes. */
  static AccessToken readToken(Path file) {
    try {
      String token = Files.readString(file).replaceAll("[\\r\\n]+$", ""); // editors end files so
      return new AccessToken(token, Instant.now().plusSeconds(300));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Logs a wait; its reason holds no secret. */
  static void logRetry(Retry retry) {
    double wait = retry.delay().toMillis() / 1000.0;
    LOGGER.log(
        Level.WARNING,
        () -> "attempt " + retry.attempt() + ": " + retry.reason() + "; next in " + wait + " s");
  }

  /** Interrupts the call and lets the program end; the JVM's exit code is then 130. */
  static void cancel(Thread caller, CountDownLatch ended) {
    caller.interrupt();
    try {
      ended.await(2, TimeUnit.SECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  static String required(String name) throws Stop {
    if (env(name, "").isEmpty()) {
      throw new Stop(2, name + " is not set");
    }
    return env(name, "");
  }

  static String env(String name, String otherwise) {
    String value = System.getenv(name);
    return value == null || value.isEmpty() ? otherwise : value;
  }

  static String reason(IOException e) {
    return e instanceof NoSuchFileException ? "no such file" : e.getMessage();
  }
}
