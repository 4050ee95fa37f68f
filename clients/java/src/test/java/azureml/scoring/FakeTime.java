package azureml.scoring;

import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicReference;

/** A clock that moves only when somebody sleeps, and a random number that is always the same. */
final class FakeTime implements ScoringClient.Time {
  private final double random;
  private final List<Duration> sleeps = new CopyOnWriteArrayList<>();
  private final AtomicReference<Error> failure = new AtomicReference<>();
  private volatile long nanos;
  private volatile Instant now = Instant.parse("2026-11-24T12:00:00Z");

  FakeTime(double random) {
    this.random = random;
  }

  @Override
  public long nanoTime() {
    return nanos;
  }

  @Override
  public Instant now() {
    return now;
  }

  @Override
  public double random() {
    return random;
  }

  @Override
  public void sleep(Duration wait) {
    sleeps.add(wait);
    advance(wait);
  }

  @Override
  public void start(Runnable work) {
    Error thrown = failure.getAndSet(null);
    if (thrown != null) {
      throw thrown;
    }
    ScoringClient.Time.super.start(work);
  }

  void failNextStart(Error thrown) {
    failure.set(thrown);
  }

  synchronized void advance(Duration time) {
    nanos += time.toNanos();
    now = now.plus(time);
  }

  List<Duration> sleeps() {
    return List.copyOf(sleeps);
  }
}
