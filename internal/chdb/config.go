// The engine's configuration files and accounts, written anew at every start.

package chdb

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"
)

// Accounts of the embedded server. Each has a generated password; there is no default one.
const (
	UserAdmin    = "admin"    // migrations: everything on database mcpsiem
	UserPipeline = "pipeline" // the exporter: select and insert on mcpsiem
	UserAnalyst  = "analyst"  // people and Grafana: select on mcpsiem, exactly-once view, limits
	UserRemover  = "remover"  // retention and erasure: select, insert and delete on mcpsiem

	userSupervisor = "supervisor" // this package: may cancel queries, sees no data
)

var users = []string{UserAdmin, UserPipeline, UserAnalyst, UserRemover, userSupervisor}

// Database is the database that the accounts are for.
const Database = "mcpsiem"

// loadSecrets reads the accounts' passwords, and makes those that are missing.
func loadSecrets(path string) (map[string]string, error) {
	secrets := map[string]string{}
	src, err := os.ReadFile(path)
	if err == nil {
		if json.Unmarshal(src, &secrets) != nil { // the decoder's own error quotes its input
			return nil, fmt.Errorf("cannot read the ClickHouse passwords in %s: not a JSON object of strings; delete it to have new ones made", path)
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the ClickHouse passwords: %w", err)
	}
	changed := false
	for _, u := range users {
		if secrets[u] == "" {
			var b [24]byte
			if _, err := rand.Read(b[:]); err != nil {
				return nil, err
			}
			secrets[u] = hex.EncodeToString(b[:])
			changed = true
		}
	}
	if changed {
		out, err := json.MarshalIndent(secrets, "", "  ")
		if err != nil {
			return nil, err
		}
		if err := writePrivate(path, append(out, '\n')); err != nil {
			return nil, fmt.Errorf("cannot write the ClickHouse passwords: %w", err)
		}
	}
	return secrets, nil
}

// writePrivate replaces a file at once; only its owner can read it.
func writePrivate(path string, data []byte) error {
	tmp := path + ".tmp"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// Account is one more account of the embedded server.
type Account struct {
	Name     string // letters, digits, _, - and .
	Password string
	Profile  string            // analyst, pipeline or default
	Grants   []string          // statements without TO: "GRANT SELECT ON mcpsiem.events"
	Filters  map[string]string // table of database mcpsiem -> condition on the rows that the account may see
}

type configData struct {
	Accounts          []accountData
	Dir               string
	TCPPort, HTTPPort int
	Memory, Analyst   int64
	Hash              map[string]string
}

type accountData struct {
	Account
	Hash string
}

var accountName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,62}$`)

func (d *configData) add(accounts []Account) error {
	taken := map[string]bool{"default": true}
	for _, u := range users {
		taken[u] = true
	}
	for _, a := range accounts {
		switch {
		case !accountName.MatchString(a.Name):
			return errors.New("cannot make an account: its name begins with a letter and has letters, digits, _, - and . only")
		case taken[a.Name]:
			return fmt.Errorf("cannot make account %s: the name is taken", a.Name)
		case len(a.Password) < 16:
			return fmt.Errorf("cannot make account %s: its password has less than 16 characters", a.Name)
		case a.Profile != "analyst" && a.Profile != "pipeline" && a.Profile != "default":
			return fmt.Errorf("cannot make account %s: there is no profile of that name", a.Name)
		}
		taken[a.Name] = true
		h := sha256.Sum256([]byte(a.Password))
		d.Accounts = append(d.Accounts, accountData{a, hex.EncodeToString(h[:])})
	}
	return nil
}

// writeConfig writes config.xml and users.xml into dir and returns the path of the former.
func writeConfig(o Options, tcp, http int, secrets map[string]string) (string, error) {
	d := configData{Dir: o.Dir, TCPPort: tcp, HTTPPort: http, Memory: o.MemoryLimit, Analyst: o.MemoryLimit / 2, Hash: map[string]string{}}
	for u, p := range secrets {
		h := sha256.Sum256([]byte(p))
		d.Hash[u] = hex.EncodeToString(h[:])
	}
	if err := d.add(o.Accounts); err != nil {
		return "", err
	}
	for _, f := range []struct {
		name string
		t    *template.Template
	}{{"users.xml", usersXML}, {"config.xml", configXML}} {
		var b bytes.Buffer
		if err := f.t.Execute(&b, d); err != nil {
			return "", err
		}
		if err := writePrivate(filepath.Join(o.Dir, f.name), b.Bytes()); err != nil {
			return "", fmt.Errorf("cannot write ClickHouse's configuration: %w", err)
		}
	}
	return filepath.Join(o.Dir, "config.xml"), closeFiles(filepath.Join(o.Dir, "data", "user_defined"))
}

// closeFiles shadows the function file(), which in the engine's local mode reads any file of this process for whoever may run a query, by one of the same
// name that refuses. CREATE FUNCTION would not take the name; the engine takes what lies in its folder.
func closeFiles(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot make the folder of ClickHouse's functions: %w", err)
	}
	if err := writePrivate(filepath.Join(dir, "function_file.sql"), []byte("CREATE FUNCTION file AS path -> throwIf(1, 'file() is switched off')\n")); err != nil {
		return fmt.Errorf("cannot switch off ClickHouse's function file: %w", err)
	}
	return nil
}

func xmlText(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}

// quietLoggers print queries, and with them what people look for or what an insert held.
var quietLoggers = []string{
	"executeQuery", "DynamicQueryHandler", "PredefinedQueryHandler", "HTTPHandler", "HTTPHandler-factory", "TCPHandler", "Application", "LocalServer",
	"InterserverIOHTTPHandler", "PipelineExecutor", "ParallelParsingInputFormat",
}

var funcs = template.FuncMap{"x": xmlText, "quiet": func() []string { return quietLoggers }}

// configXML: loopback only. Caches and pools are for a laptop with two cores, where the pipeline needs the memory more. A merged
// part is synced before those that it replaces go, and an insert is synced before it is acknowledged.
var configXML = template.Must(template.New("config").Funcs(funcs).Parse(`<clickhouse>
  <listen_host>127.0.0.1</listen_host>
  <tcp_port>{{.TCPPort}}</tcp_port>
  <http_port>{{.HTTPPort}}</http_port>
  <path>{{x .Dir}}/data/</path>
  <tmp_path>{{x .Dir}}/tmp/</tmp_path>
  <user_files_path>{{x .Dir}}/user_files/</user_files_path>
  <format_schema_path>{{x .Dir}}/format_schemas/</format_schema_path>
  <users_config>{{x .Dir}}/users.xml</users_config>
  <log-level>warning</log-level>
  <logger>
    <level>warning</level>
    <log>{{x .Dir}}/log/clickhouse.log</log>
    <errorlog>{{x .Dir}}/log/clickhouse.err.log</errorlog>
    <size>10M</size>
    <count>3</count>
    <levels>{{range quiet}}
      <logger><name>{{.}}</name><level>none</level></logger>{{end}}
    </levels>
  </logger>
  <send_crash_reports><enabled>false</enabled></send_crash_reports>
  <access_control_improvements>
    <users_without_row_policies_can_read_rows>true</users_without_row_policies_can_read_rows>
    <settings_constraints_replace_previous>true</settings_constraints_replace_previous>
    <select_from_system_db_requires_grant>true</select_from_system_db_requires_grant>
    <select_from_information_schema_requires_grant>true</select_from_information_schema_requires_grant>
    <on_cluster_queries_require_cluster_grant>true</on_cluster_queries_require_cluster_grant>
  </access_control_improvements>

  <max_server_memory_usage>{{.Memory}}</max_server_memory_usage>
  <max_concurrent_queries>64</max_concurrent_queries>
  <max_connections>256</max_connections>
  <mark_cache_size>67108864</mark_cache_size>
  <primary_index_cache_size>33554432</primary_index_cache_size>
  <index_mark_cache_size>16777216</index_mark_cache_size>
  <index_uncompressed_cache_size>0</index_uncompressed_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <mmap_cache_size>100</mmap_cache_size>
  <query_cache><max_size_in_bytes>0</max_size_in_bytes></query_cache>
  <compiled_expression_cache_size>16777216</compiled_expression_cache_size>
  <query_condition_cache_size>8388608</query_condition_cache_size>
  <vector_similarity_index_cache_size>0</vector_similarity_index_cache_size>
  <text_index_dictionary_block_cache_size>8388608</text_index_dictionary_block_cache_size>
  <max_thread_pool_size>300</max_thread_pool_size>
  <max_thread_pool_free_size>20</max_thread_pool_free_size>
  <thread_pool_queue_size>1000</thread_pool_queue_size>
  <max_io_thread_pool_size>8</max_io_thread_pool_size>
  <max_io_thread_pool_free_size>0</max_io_thread_pool_free_size>
  <background_pool_size>2</background_pool_size>
  <background_merges_mutations_concurrency_ratio>2</background_merges_mutations_concurrency_ratio>
  <background_schedule_pool_size>4</background_schedule_pool_size>
  <background_common_pool_size>2</background_common_pool_size>
  <background_fetches_pool_size>1</background_fetches_pool_size>
  <background_move_pool_size>1</background_move_pool_size>
  <background_buffer_flush_schedule_pool_size>1</background_buffer_flush_schedule_pool_size>
  <background_message_broker_schedule_pool_size>1</background_message_broker_schedule_pool_size>
  <background_distributed_schedule_pool_size>1</background_distributed_schedule_pool_size>
  <asynchronous_metrics_update_period_s>60</asynchronous_metrics_update_period_s>
  <keep_alive_timeout>30</keep_alive_timeout>
  <merge_tree>
    <fsync_after_insert>1</fsync_after_insert>
    <fsync_part_directory>1</fsync_part_directory>
    <min_compressed_bytes_to_fsync_after_merge>1</min_compressed_bytes_to_fsync_after_merge>
    <number_of_free_entries_in_pool_to_lower_max_size_of_merge>1</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
    <number_of_free_entries_in_pool_to_execute_mutation>1</number_of_free_entries_in_pool_to_execute_mutation>
    <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>1</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>
    <max_bytes_to_merge_at_max_space_in_pool>10737418240</max_bytes_to_merge_at_max_space_in_pool>
    <merge_max_block_size_bytes>4194304</merge_max_block_size_bytes>
  </merge_tree>
</clickhouse>
`))

// usersXML: the local session that holds the engine open runs as "default", which cannot have a password, so that anyone on
// loopback can connect under that name. Nobody gets a session, since the holding one is all that this user may have; and should
// that fail, its quota, until the year 2065, is the three queries of the holding session, and its grant is to open listeners.
//
// A query runs on two cores where 128 MB are free for each. By itself ClickHouse asks for 1 GB for each, which an engine of 1.5 GB never has twice, so that
// every query would run on one.
var usersXML = template.Must(template.New("users").Funcs(funcs).Parse(`<clickhouse>
  <profiles>
    <default>
      <async_insert>0</async_insert>
      <max_threads>2</max_threads>
      <max_threads_min_free_memory_per_thread>134217728</max_threads_min_free_memory_per_thread>
      <max_memory_usage>{{.Memory}}</max_memory_usage>
    </default>
    <holder>
      <max_sessions_for_user>1</max_sessions_for_user>
      <constraints><max_sessions_for_user><const/></max_sessions_for_user></constraints>
      <max_memory_usage>67108864</max_memory_usage>
      <max_execution_time>5</max_execution_time>
      <max_threads>1</max_threads>
    </holder>
    <pipeline>
      <profile>default</profile>
      <insert_deduplicate>1</insert_deduplicate>
      <max_execution_time>300</max_execution_time>
    </pipeline>
    <analyst>
      <profile>default</profile>
      <readonly>1</readonly>
      <final>1</final>
      <optimize_move_to_prewhere_if_final>1</optimize_move_to_prewhere_if_final>
      <do_not_merge_across_partitions_select_final>1</do_not_merge_across_partitions_select_final>
      <max_memory_usage>{{.Analyst}}</max_memory_usage>
      <max_bytes_before_external_group_by>268435456</max_bytes_before_external_group_by>
      <max_bytes_before_external_sort>268435456</max_bytes_before_external_sort>
      <max_execution_time>60</max_execution_time>
      <max_result_rows>1000000</max_result_rows>
      <max_result_bytes>536870912</max_result_bytes>
      <result_overflow_mode>throw</result_overflow_mode>
      <max_concurrent_queries_for_user>16</max_concurrent_queries_for_user>
      <allow_ddl>0</allow_ddl>
      <constraints>
        <max_execution_time><min>1</min><max>65</max><changeable_in_readonly/></max_execution_time>
        <max_result_rows><min>1</min><max>1000000</max><changeable_in_readonly/></max_result_rows>
        <max_block_size><min>1</min><max>65536</max><changeable_in_readonly/></max_block_size>
      </constraints>
    </analyst>
    <supervisor>
      <max_execution_time>30</max_execution_time>
    </supervisor>
  </profiles>
  <quotas>
    <default/>
    <holder><interval><duration>1500000000</duration><queries>3</queries></interval></holder>
  </quotas>
  <users>
    <default>
      <password></password>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>holder</profile>
      <quota>holder</quota>
      <grants><query>GRANT SYSTEM LISTEN ON *.*</query></grants>
    </default>
    <admin>
      <password_sha256_hex>{{index .Hash "admin"}}</password_sha256_hex>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <grants>
        <query>GRANT ALL ON mcpsiem.*</query>
        <query>GRANT ALL ON mcpsiem_*.*</query>
        <query>GRANT SET DEFINER ON *</query>
        <query>GRANT SELECT ON system.*</query>
        <query>GRANT TABLE ENGINE ON *</query>
      </grants>
    </admin>
    <pipeline>
      <password_sha256_hex>{{index .Hash "pipeline"}}</password_sha256_hex>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>pipeline</profile>
      <quota>default</quota>
      <grants>
        <query>GRANT SELECT, INSERT ON mcpsiem.*</query>
      </grants>
    </pipeline>
    <remover>
      <password_sha256_hex>{{index .Hash "remover"}}</password_sha256_hex>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <grants>
        <query>GRANT SELECT, INSERT, ALTER DELETE, ALTER UPDATE ON mcpsiem.*</query>
      </grants>
    </remover>
    <analyst>
      <password_sha256_hex>{{index .Hash "analyst"}}</password_sha256_hex>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>analyst</profile>
      <quota>default</quota>
      <grants>
        <query>GRANT SELECT ON mcpsiem.*</query>
        <query>GRANT SHOW ON mcpsiem.*</query>
        <query>GRANT SELECT ON system.databases</query>
        <query>GRANT SELECT ON system.tables</query>
        <query>GRANT SELECT ON system.columns</query>
        <query>GRANT SELECT ON system.functions</query>
        <query>GRANT SELECT ON system.numbers</query>
        <query>GRANT SELECT ON system.one</query>
      </grants>
    </analyst>
    <supervisor>
      <password_sha256_hex>{{index .Hash "supervisor"}}</password_sha256_hex>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>supervisor</profile>
      <quota>default</quota>
      <grants>
        <query>GRANT KILL QUERY ON *.*</query>
        <query>GRANT SELECT ON system.processes</query>
      </grants>
    </supervisor>
{{- range .Accounts}}
    <{{.Name}}>
      <password_sha256_hex>{{.Hash}}</password_sha256_hex>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>{{.Profile}}</profile>
      <quota>default</quota>
      <grants>{{range .Grants}}
        <query>{{x .}}</query>{{end}}
      </grants>
{{- if .Filters}}
      <databases><mcpsiem>{{range $table, $filter := .Filters}}
        <{{$table}}><filter>{{x $filter}}</filter></{{$table}}>{{end}}
      </mcpsiem></databases>
{{- end}}
    </{{.Name}}>
{{- end}}
  </users>
</clickhouse>
`))
