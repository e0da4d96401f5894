package distributedtrace;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;

/**
 * Runs the statements of a file: {@code flink run -c distributedtrace.RunSql distributed-trace-flink.jar zone-minutes.sql}, or
 * without a cluster, in this process, where Flink's jars are on the class path. Ends when the last statement's job does.
 */
public final class RunSql {
    /** A statement of Flink's SQL client, which its library doesn't know. */
    private static final Pattern SET = Pattern.compile("\\s*SET\\s+'([^']*)'\\s*=\\s*'([^']*)'\\s*");

    private RunSql() {}

    public static void main(String[] arguments) throws Exception {
        if (arguments.length != 1) {
            System.err.println("usage: RunSql FILE");
            System.exit(2);
        }
        TableEnvironment environment = TableEnvironment.create(EnvironmentSettings.inStreamingMode());
        TableResult last = null;
        // Comments have no place within a statement's texts here, nor have semicolons.
        String text = Files.readString(Path.of(arguments[0])).replaceAll("(?m)--.*$", "");
        for (String statement : text.split(";")) {
            Matcher set = SET.matcher(statement);
            if (set.matches()) {
                environment.getConfig().set(set.group(1), set.group(2));
            } else if (!statement.isBlank()) {
                last = environment.executeSql(statement);
            }
        }
        if (last != null) {
            last.await();
        }
    }
}
