package class

import (
	"encoding/base64"
	"hash/crc32"
)

// format describes a token that names its own kind: a literal prefix and a tail. Each is one row and becomes a class of its own,
// named by its first field. Prefixes and lengths are those that the issuers document; where an issuer publishes a checksum, it
// is tried, and a tail without it must look random.
type format struct {
	class    string
	prefix   string
	tail     Charset
	min, max int // length of the tail; max 0: no limit
	check    func(tail []byte) bool
}

var formats = []format{
	// clouds
	{"aws_access_key", "AKIA", Upper36, 16, 16, nil},
	{"aws_access_key", "ASIA", Upper36, 16, 16, nil},
	{"aws_access_key", "ABIA", Upper36, 16, 16, nil},
	{"aws_access_key", "ACCA", Upper36, 16, 16, nil},
	{"aws_access_key", "A3T", Upper36, 17, 17, nil},
	{"aws_mws_token", "amzn.mws.", HexDash, 36, 36, isUUID},
	{"aws_appsync_key", "da2-", Lower36, 26, 26, nil},
	{"aws_bedrock_key", "ABSK", Base64, 109, 280, random},
	{"alibaba_access_key", "LTAI", Base62, 12, 26, random},
	{"tencent_secret_id", "AKID", Base62, 32, 32, random},
	{"google_api_key", "AIza", URLSafe, 35, 35, nil},
	{"google_oauth_token", "ya29.", URLSafe | cDot, 20, 0, random},
	{"google_oauth_secret", "GOCSPX-", URLSafe, 28, 28, nil},
	{"google_refresh_token", "1//0", URLSafe, 24, 0, random},
	{"yandex_api_key", "AQVN", URLSafe, 35, 38, random},
	{"yandex_access_key", "YCAJ", URLSafe, 20, 21, random},
	{"digitalocean_token", "dop_v1_", Hex, 64, 64, nil},
	{"digitalocean_token", "doo_v1_", Hex, 64, 64, nil},
	{"digitalocean_token", "dor_v1_", Hex, 64, 64, nil},
	{"heroku_token", "HRKU-", URLSafe, 36, 0, random},
	{"fly_token", "fo1_", URLSafe, 40, 0, random},
	{"fly_token", "fm1r_", Base64, 80, 0, random},
	{"fly_token", "fm2_", Base64, 80, 0, random},
	{"vercel_token", "vcp_", Base62, 24, 80, random},
	{"vercel_token", "vck_", Base62, 24, 80, random},
	{"netlify_token", "nfp_", Base62, 36, 36, random},
	{"scaleway_key", "SCW", Upper36, 17, 17, hasDigitAndUpper},
	{"supabase_token", "sbp_", Hex, 40, 40, nil},
	{"supabase_token", "sb_secret_", URLSafe, 20, 60, random},
	{"neon_token", "napi_", Base62, 48, 80, random},
	{"planetscale_token", "pscale_tkn_", Dotted, 32, 64, nil},
	{"planetscale_token", "pscale_pw_", Dotted, 32, 64, nil},
	{"planetscale_token", "pscale_oauth_", Dotted, 32, 64, nil},
	{"mongodb_service_account", "mdb_sa_sk_", URLSafe, 30, 60, nil},
	{"pulumi_token", "pul-", Hex, 40, 40, nil},
	{"openshift_token", "sha256~", URLSafe, 43, 43, nil},
	{"databricks_token", "dapi", Hex | cDash, 32, 34, nil},
	{"vault_token", "hvs.", URLSafe, 24, 0, nil},
	{"vault_token", "hvb.", URLSafe, 24, 0, nil},
	{"vault_token", "hvr.", URLSafe, 24, 0, nil},
	{"doppler_token", "dp.pt.", Base62, 40, 44, nil},
	{"doppler_token", "dp.ct.", Base62, 40, 44, nil},
	{"doppler_token", "dp.st.", Dotted, 40, 80, nil},
	{"doppler_token", "dp.sa.", Base62, 40, 44, nil},
	{"doppler_token", "dp.scim.", Base62, 40, 44, nil},
	{"doppler_token", "dp.audit.", Base62, 40, 44, nil},
	{"infracost_key", "ico-", Base62, 32, 32, random},
	{"onepassword_token", "ops_eyJ", URLSafe | cEq, 100, 0, nil},
	{"age_secret_key", "AGE-SECRET-KEY-1", Upper36, 58, 58, nil},
	{"docker_token", "dckr_pat_", URLSafe, 27, 27, nil},
	{"docker_token", "dckr_oat_", URLSafe, 32, 32, nil},
	{"tailscale_key", "tskey-", URLSafe, 20, 80, random},
	{"defined_networking_key", "dnkey-", URLSafe, 40, 90, random},
	{"launchdarkly_key", "sdk-", HexDash, 36, 36, isUUID},
	{"launchdarkly_key", "mob-", HexDash, 36, 36, isUUID},
	{"statsig_key", "secret-", Base62, 40, 50, random},
	// source code, packages, builds
	{"github_token", "ghp_", Base62, 36, 36, checkedOrRandom},
	{"github_token", "gho_", Base62, 36, 36, checkedOrRandom},
	{"github_token", "ghu_", Base62, 36, 36, checkedOrRandom},
	{"github_token", "ghs_", Base62, 36, 36, checkedOrRandom},
	{"github_token", "ghr_", Base62, 36, 76, checkedOrRandom},
	{"github_token", "github_pat_", Word, 82, 82, nil},
	{"gitlab_token", "glpat-", Dotted, 20, 320, nil},
	{"gitlab_token", "glptt-", URLSafe, 20, 64, nil},
	{"gitlab_token", "gldt-", URLSafe, 20, 64, nil},
	{"gitlab_token", "glrt-", Dotted, 20, 120, nil},
	{"gitlab_token", "glcbt-", URLSafe, 20, 64, nil},
	{"gitlab_token", "glft-", URLSafe, 20, 64, nil},
	{"gitlab_token", "glsoat-", URLSafe, 20, 64, nil},
	{"gitlab_token", "glimt-", URLSafe, 20, 64, nil},
	{"gitlab_token", "glagent-", URLSafe, 50, 64, nil},
	{"gitlab_token", "gloas-", URLSafe, 64, 64, nil},
	{"gitlab_token", "glffct-", URLSafe, 20, 64, nil},
	{"gitlab_token", "GR1348941", URLSafe, 20, 20, nil},
	{"bitbucket_token", "ATBB", Base62, 32, 32, nil},
	{"bitbucket_token", "ATCTT3xFfG", URLSafe | cEq, 150, 0, nil},
	{"atlassian_token", "ATATT3xFfG", URLSafe | cEq, 100, 0, nil},
	{"sourcegraph_token", "sgp_", Hex | cUpper | cUnder | cRestLower, 40, 64, hexParts},
	{"sourcegraph_token", "slk_", Hex, 64, 64, nil},
	{"circleci_token", "CCIPAT_", Word, 40, 80, nil},
	{"circleci_token", "CCIPRJ_", Word, 40, 80, nil},
	{"buildkite_token", "bkua_", Hex, 40, 40, nil},
	{"npm_token", "npm_", Base62, 36, 36, checkedOrRandom},
	{"pypi_token", "pypi-AgE", URLSafe, 60, 0, nil},
	{"rubygems_key", "rubygems_", Hex, 48, 48, nil},
	{"crates_io_token", "cio", Base62, 32, 32, random},
	{"nuget_key", "oy2", Lower36, 43, 43, nil},
	{"clojars_token", "CLOJARS_", Hex, 60, 60, nil},
	{"artifactory_key", "AKCp", Base62, 66, 73, nil},
	{"artifactory_token", "cmVmdGtuOj", Base62, 50, 60, nil},
	{"sonarqube_token", "sqp_", Hex, 40, 40, nil},
	{"sonarqube_token", "squ_", Hex, 40, 40, nil},
	{"sonarqube_token", "sqa_", Hex, 40, 40, nil},
	{"postman_key", "PMAK-", HexDash, 59, 59, nil},
	{"prefect_key", "pnu_", Base62, 36, 36, nil},
	{"dbt_token", "dbtc_", URLSafe, 30, 70, random},
	{"dbt_token", "dbtu_", URLSafe, 30, 70, random},
	{"dependency_track_key", "odt_", Base62, 32, 41, random},
	{"stackhawk_key", "hawk.", Dotted, 41, 41, nil},
	{"readme_key", "rdme_", Lower36, 70, 70, nil},
	{"endor_key", "endr+", Base62, 16, 40, random},
	{"harness_token", "pat.", Dotted, 60, 90, random},
	{"octopus_key", "API-", Upper36, 25, 33, hasDigitAndUpper},
	// chat and mail
	{"slack_token", "xoxb-", URLSafe, 20, 200, nil},
	{"slack_token", "xoxp-", URLSafe, 20, 200, nil},
	{"slack_token", "xoxa-", URLSafe, 20, 200, nil},
	{"slack_token", "xoxr-", URLSafe, 20, 300, nil},
	{"slack_token", "xoxs-", URLSafe, 20, 200, nil},
	{"slack_token", "xoxc-", URLSafe, 20, 200, nil},
	{"slack_token", "xoxd-", URLSafe | cPercent, 20, 300, nil},
	{"slack_token", "xoxe.", Dotted, 20, 400, nil},
	{"slack_token", "xoxe-", URLSafe, 20, 400, nil},
	{"slack_token", "xapp-", URLSafe | cSlash | cPlus, 20, 200, nil},
	{"slack_webhook", "hooks.slack.com/services/", Word | cSlash, 20, 90, nil},
	{"slack_webhook", "hooks.slack.com/workflows/", Word | cSlash, 20, 110, nil},
	{"slack_webhook", "hooks.slack.com/triggers/", Word | cSlash, 20, 110, nil},
	{"discord_webhook", "discord.com/api/webhooks/", URLSafe | cSlash, 60, 120, nil},
	{"discord_webhook", "discordapp.com/api/webhooks/", URLSafe | cSlash, 60, 120, nil},
	{"teams_webhook", "webhook.office.com/webhookb2/", URLSafe | cSlash | cAt, 100, 0, nil},
	{"teams_webhook", "outlook.office.com/webhook/", URLSafe | cSlash | cAt, 80, 0, nil},
	{"google_chat_webhook", "chat.googleapis.com/v1/spaces/", URLSafe | cSlash, 20, 60, nil},
	{"sendgrid_key", "SG.", Dotted, 66, 66, nil},
	{"mailgun_key", "key-", Hex, 32, 32, nil},
	{"mailersend_key", "mlsn.", Hex, 64, 64, nil},
	{"brevo_key", "xkeysib-", HexDash | cRestLower | cRestUpper, 81, 81, nil},
	{"brevo_key", "xsmtpsib-", HexDash | cRestLower | cRestUpper, 81, 81, nil},
	{"resend_key", "re_", Word, 30, 36, mixed3},
	{"customerio_key", "cio_", Base62, 30, 60, random},
	{"pagerduty_key", "pdus+", URLSafe | cPlus, 16, 40, random},
	// payment and commerce
	{"stripe_key", "sk_live_", Base62, 16, 250, nil},
	{"stripe_key", "sk_test_", Base62, 16, 250, nil},
	{"stripe_key", "rk_live_", Base62, 16, 250, nil},
	{"stripe_key", "rk_test_", Base62, 16, 250, nil},
	{"stripe_webhook_secret", "whsec_", Base64, 32, 64, nil},
	{"square_token", "sq0atp-", URLSafe, 22, 22, nil},
	{"square_token", "sq0atb-", URLSafe, 22, 22, nil},
	{"square_token", "sq0csp-", URLSafe, 43, 43, nil},
	{"square_token", "EAAA", URLSafe, 60, 60, random},
	{"braintree_token", "access_token$production$", Lower36 | cDollar, 40, 60, nil},
	{"braintree_token", "access_token$sandbox$", Lower36 | cDollar, 40, 60, nil},
	{"plaid_token", "access-sandbox-", HexDash, 36, 36, isUUID},
	{"plaid_token", "access-production-", HexDash, 36, 36, isUUID},
	{"plaid_token", "access-development-", HexDash, 36, 36, isUUID},
	{"razorpay_key", "rzp_live_", Base62, 14, 14, nil},
	{"razorpay_key", "rzp_test_", Base62, 14, 14, nil},
	{"shopify_token", "shpat_", AnyHex, 32, 32, nil},
	{"shopify_token", "shpca_", AnyHex, 32, 32, nil},
	{"shopify_token", "shppa_", AnyHex, 32, 32, nil},
	{"shopify_token", "shpss_", AnyHex, 32, 32, nil},
	{"shopify_token", "shptka_", AnyHex, 32, 32, nil},
	{"flutterwave_key", "FLWSECK-", URLSafe, 32, 40, nil},
	{"flutterwave_key", "FLWSECK_TEST-", URLSafe, 32, 40, nil},
	{"checkout_key", "sk_sbox_", Lower36 | cDash, 26, 40, nil},
	{"easypost_key", "EZAK", Base62, 54, 54, nil},
	{"easypost_key", "EZTK", Base62, 54, 54, nil},
	{"shippo_token", "shippo_live_", Hex, 40, 40, nil},
	{"shippo_token", "shippo_test_", Hex, 40, 40, nil},
	{"duffel_token", "duffel_live_", URLSafe | cEq, 40, 50, nil},
	{"duffel_token", "duffel_test_", URLSafe | cEq, 40, 50, nil},
	{"lob_key", "live_pub_", Hex, 31, 31, nil},
	// model providers and AI services
	{"openai_key", "sk-proj-", URLSafe, 40, 200, nil},
	{"openai_key", "sk-svcacct-", URLSafe, 40, 200, nil},
	{"openai_key", "sk-admin-", URLSafe, 40, 200, nil},
	{"anthropic_key", "sk-ant-", URLSafe, 40, 160, nil},
	{"openrouter_key", "sk-or-v1-", Hex, 64, 64, nil},
	{"langfuse_key", "sk-lf-", HexDash, 36, 36, isUUID},
	{"helicone_key", "sk-helicone-", URLSafe, 24, 80, random},
	{"model_provider_key", "sk-", URLSafe, 32, 120, random}, // OpenAI's older form, DeepSeek, Stability and their like
	{"groq_key", "gsk_", Base62, 52, 52, nil},
	{"huggingface_token", "hf_", Base62, 34, 37, mixed},
	{"huggingface_token", "api_org_", Base62, 34, 34, mixed},
	{"replicate_token", "r8_", Base62, 37, 37, random},
	{"perplexity_key", "pplx-", Base62, 40, 60, random},
	{"together_key", "tgp_v1_", URLSafe, 40, 50, random},
	{"xai_key", "xai-", Base62, 70, 90, random},
	{"nvidia_key", "nvapi-", URLSafe, 60, 80, random},
	{"fireworks_key", "fw_", Base62, 22, 26, random},
	{"cerebras_key", "csk-", Base62, 48, 48, random},
	{"langsmith_key", "lsv2_pt_", Hex | cUnder, 43, 43, nil},
	{"langsmith_key", "lsv2_sk_", Hex | cUnder, 43, 43, nil},
	{"pinecone_key", "pcsk_", Word, 60, 80, random},
	{"tavily_key", "tvly-", URLSafe, 32, 60, nil},
	{"firecrawl_key", "fc-", Hex, 32, 32, random},
	{"jina_key", "jina_", Word, 56, 64, random},
	{"elevenlabs_key", "sk_", Hex, 48, 48, nil},
	{"voyage_key", "pa-", URLSafe, 43, 43, random},
	{"brave_key", "BSA", URLSafe, 24, 28, mixed3},
	{"apify_token", "apify_api_", Base62, 36, 36, nil},
	{"e2b_key", "e2b_", Hex, 40, 40, nil},
	{"browserbase_key", "bb_live_", URLSafe, 24, 40, random},
	{"cohere_key", "co_", Base62, 40, 40, random},
	// monitoring
	{"newrelic_key", "NRAK-", Upper36, 27, 27, nil},
	{"newrelic_key", "NRII-", URLSafe, 32, 32, nil},
	{"newrelic_key", "NRIQ-", URLSafe, 32, 32, nil},
	{"newrelic_key", "NRRA-", Hex, 42, 42, nil},
	{"newrelic_key", "NRAA-", Hex, 27, 27, nil},
	{"newrelic_key", "px-api-", HexDash, 36, 36, isUUID},
	{"newrelic_key", "px-dep-", HexDash, 36, 36, isUUID},
	{"grafana_token", "glsa_", Word, 41, 41, nil},
	{"grafana_token", "glc_", Base64, 32, 400, nil},
	{"grafana_token", "eyJrIjoi", Base64, 60, 200, nil},
	{"sentry_token", "sntrys_", Base64 | cUnder, 60, 0, nil},
	{"sentry_token", "sntryu_", Hex, 64, 64, nil},
	{"dynatrace_token", "dt0c01.", Dotted, 89, 89, nil},
	{"dynatrace_token", "dt0s16.", Dotted, 60, 100, nil},
	{"honeycomb_key", "hcaik_", Lower36, 58, 58, nil},
	{"posthog_key", "phx_", Base62, 40, 50, random},
	{"rootly_key", "rootly_", Hex, 64, 64, nil},
	{"logfire_token", "pylf_v1_", Word, 40, 60, nil},
	{"segment_token", "sgp_", Base62, 64, 64, nil},
	// work
	{"airtable_token", "pat", Base62 | cDot, 79, 79, airtable},
	{"notion_token", "ntn_", Base62, 44, 50, random},
	{"notion_token", "secret_", Base62, 43, 43, random},
	{"linear_key", "lin_api_", Base62, 40, 40, nil},
	{"linear_key", "lin_oauth_", Hex, 64, 64, nil},
	{"figma_token", "figd_", URLSafe, 38, 60, nil},
	{"hubspot_token", "pat-na1-", HexDash, 36, 36, isUUID},
	{"hubspot_token", "pat-eu1-", HexDash, 36, 36, isUUID},
	{"contentful_token", "CFPAT-", URLSafe, 43, 43, nil},
	{"typeform_token", "tfp_", DotEq, 40, 60, nil},
	{"dropbox_token", "sl.", URLSafe, 120, 0, random},
	{"frameio_token", "fio-u-", URLSafe | cEq, 64, 64, nil},
	{"salesforce_token", "00D", Dotted | cBang, 108, 115, salesforce},
	{"facebook_token", "EAA", Base62, 80, 0, random},
	{"facebook_token", "EAAC", Base62, 80, 0, random},
	{"twitch_token", "live_", Word, 35, 50, twitch},
	{"mapbox_token", "sk.eyJ", Dotted, 40, 0, nil},
	{"mapbox_token", "tk.eyJ", Dotted, 40, 0, nil},
	{"mapbox_token", "pk.eyJ", Dotted, 40, 0, nil},
	{"adafruit_key", "aio_", Base62, 28, 28, mixed},
	{"adobe_secret", "p8e-", URLSafe, 32, 32, nil},
	{"blynk_client", "oa2-client-id_", URLSafe | cColon, 32, 90, nil},
	{"settlemint_token", "sm_pat_", Base62, 16, 16, nil},
	{"zuplo_key", "zpka_", Word, 40, 60, nil},
	{"kaggle_token", "KGAT_", Hex, 32, 32, nil},
	{"ngrok_token", "ngrok_api_", Word, 40, 60, nil},
	{"lichess_token", "lip_", Base62, 20, 20, mixed},
	{"instagram_token", "IGQ", URLSafe, 100, 0, random},
	{"twitter_bearer", "AAAAAAAAAAAAAAAAAAAAA", Base62 | cPercent, 60, 120, random},
	{"firebase_key", "AAAA", URLSafe | cColon, 148, 148, func(b []byte) bool { return len(b) > 8 && b[7] == ':' }},
	{"teamcity_token", "eyJ0eXAiOiAiVENWMiJ9.", Dotted, 30, 0, nil},
	// hashes of passwords
	{"password_hash", "$1$", Base62 | cDollar | cDot | cSlash, 24, 40, crypted},
	{"password_hash", "$2a$", Base62 | cDollar | cDot | cSlash, 55, 57, nil},
	{"password_hash", "$2b$", Base62 | cDollar | cDot | cSlash, 55, 57, nil},
	{"password_hash", "$2y$", Base62 | cDollar | cDot | cSlash, 55, 57, nil},
	{"password_hash", "$5$", Base62 | cDollar | cDot | cSlash | cEq, 44, 90, crypted},
	{"password_hash", "$6$", Base62 | cDollar | cDot | cSlash | cEq, 87, 130, crypted},
	{"password_hash", "$8$", Base62 | cDollar | cDot | cSlash, 50, 70, crypted},
	{"password_hash", "$9$", Base62 | cDollar | cDot | cSlash, 50, 70, crypted},
	{"password_hash", "$y$", Base62 | cDollar | cDot | cSlash, 40, 110, crypted},
	{"password_hash", "$argon2id$", Base64 | cDollar, 40, 0, nil},
	{"password_hash", "$argon2i$", Base64 | cDollar, 40, 0, nil},
	{"password_hash", "$krb5asrep$", Hex | cDollar | cAt | cDot | cUpper | cRestLower | cColon, 80, 0, nil},
	{"password_hash", "$krb5tgs$", Hex | cDollar | cAt | cDot | cUpper | cRestLower | cColon | cSlash, 80, 0, nil},
	{"password_hash", "pbkdf2_sha256$", Base64 | cDollar, 40, 0, nil},
}

// formatClasses makes one class of the rows of each name.
func formatClasses() []Class {
	var out []Class
	index := map[string]int{}
	for i := range formats {
		f := &formats[i]
		k, ok := index[f.class]
		if !ok {
			k = len(out)
			index[f.class] = k
			out = append(out, Class{Name: f.class, Tags: Secret})
		}
		out[k].Literals = append(out[k].Literals, Literal{Text: f.prefix, WordOnly: true, Match: f.match})
	}
	return out
}

func (f *format) match(t *Text, start, end int) (int, int, bool) {
	to := t.run(end, f.tail)
	if f.max > 0 && to-end > f.max {
		return 0, 0, false
	}
	for to > end && (t.B[to-1] == '.' || t.B[to-1] == '/' || t.B[to-1] == ':') && to-end > f.min { // punctuation that follows
		to--
	}
	if to-end < f.min {
		return 0, 0, false
	}
	tail := t.B[end:to]
	if f.max == 0 && len(tail) > 96 { // enough to judge by
		tail = tail[:max(96, min(f.min, 512))]
	}
	if f.check != nil && !f.check(tail) || f.check == nil && dull(tail) {
		return 0, 0, false
	}
	return start, to, true
}

// dull tails are the ones of documentation: nearly all one character.
func dull(b []byte) bool {
	var n [256]bool
	k := 0
	for _, c := range b {
		if !n[c] {
			n[c] = true
			k++
		}
	}
	return k < 5
}

func isUUID(b []byte) bool {
	if len(b) != 36 {
		return false
	}
	for i, c := range b {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if chars[c]&AnyHex == 0 {
			return false
		}
	}
	return true
}

// checkedOrRandom accepts a tail whose last six characters are the CRC-32 of the rest in base 62, as GitHub and npm make them, and
// otherwise one that looks random.
func checkedOrRandom(b []byte) bool {
	return CRC62(b) || random(b)
}

const digits62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// CRC62 says whether the last six characters of b are the base-62 CRC-32 (IEEE) of what precedes them.
func CRC62(b []byte) bool {
	if len(b) < 7 {
		return false
	}
	body, sum := b[:len(b)-6], b[len(b)-6:]
	c := crc32.ChecksumIEEE(body)
	for i := 5; i >= 0; i-- {
		if sum[i] != digits62[c%62] {
			return false
		}
		c /= 62
	}
	return true
}

func hasDigitAndUpper(b []byte) bool {
	h := has(b)
	return h&cDigit != 0 && h&cUpper != 0 && entropy(b) > 3
}

func mixed(b []byte) bool {
	h := has(b)
	return h&cLower != 0 && h&cUpper != 0 && !dull(b)
}

func mixed3(b []byte) bool {
	h := has(b)
	return h&cDigit != 0 && h&cLower != 0 && h&cUpper != 0 && entropy(b) > 3.3
}

func crypted(b []byte) bool {
	n := 0
	for _, c := range b {
		if c == '$' {
			n++
		}
	}
	return n >= 1 && n <= 4
}

func airtable(b []byte) bool { return b[14] == '.' && all(b[15:], Hex) && all(b[:14], Base62) }

func salesforce(b []byte) bool { return b[9] == '!' || b[12] == '!' }

func twitch(b []byte) bool {
	i := 0
	for i < len(b) && isDigit(b[i]) {
		i++
	}
	return i >= 6 && i+20 <= len(b) && b[i] == '_'
}

func hexParts(b []byte) bool {
	n := 0
	for i := len(b) - 1; i >= 0 && chars[b[i]]&Hex != 0; i-- {
		n++
	}
	return n >= 40
}

// decodesTo says whether b is base64 of something that begins with want.
func decodesTo(b []byte, want string) bool {
	n := (len(want) + 2) / 3 * 4
	if len(b) < n {
		return false
	}
	var out [16]byte
	k, err := base64.RawURLEncoding.Decode(out[:], b[:min(n, 16)])
	return err == nil && k >= len(want) && string(out[:len(want)]) == want
}
