// Who provides a model, by the built-in price list.

package budget

import (
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"github.com/mcpsiem/mcpsiem/schemas/prices"
)

type provided struct {
	model    Pattern
	provider string
}

var providers = sync.OnceValue(func() []provided {
	var file struct {
		Prices []struct {
			Provider string `yaml:"provider"`
			Model    string `yaml:"model"`
		} `yaml:"prices"`
	}
	if err := yaml.Unmarshal(prices.Default, &file); err != nil {
		panic("BUG: the built-in price list cannot be read")
	}
	var out []provided
	for _, p := range file.Prices {
		out = append(out, provided{NewPattern(p.Model, true), strings.ToLower(p.Provider)})
	}
	return out
})

// ProviderOf is who provides a model by the built-in price list; empty if it does not say.
func ProviderOf(model string) string {
	model = strings.ToLower(model)
	for i := range providers() {
		if p := &providers()[i]; p.model.Match(model) {
			return p.provider
		}
	}
	return ""
}

// knownProvider reports whether the price list names the provider, and lists all.
func knownProvider(name string) (bool, []string) {
	var all []string
	seen := map[string]bool{}
	for _, p := range providers() {
		if !seen[p.provider] {
			seen[p.provider] = true
			all = append(all, p.provider)
		}
	}
	return seen[name], all
}

// Matches reports whether a use of the model by the principal of the tenant falls under the limit.
func (l *Limit) Matches(tenant, principal, model string) bool {
	if model == "" || !l.Model.Match(model) || !l.Tenant.Match(tenant) {
		return false
	}
	if l.Principal.Set() && (principal == "" || !l.Principal.Match(principal)) {
		return false
	}
	return l.Provider == "" || l.Provider == ProviderOf(model)
}
