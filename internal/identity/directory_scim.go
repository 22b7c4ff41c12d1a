package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// SCIM 2.0 schemas (RFC 7643 section 8.7).
const (
	scimUser       = "urn:ietf:params:scim:schemas:core:2.0:User"
	scimGroup      = "urn:ietf:params:scim:schemas:core:2.0:Group"
	scimEnterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
)

type scimResource struct {
	Schemas     []string `json:"schemas"`
	ID          string   `json:"id"`
	ExternalID  string   `json:"externalId"`
	UserName    string   `json:"userName"`
	DisplayName string   `json:"displayName"`
	UserType    string   `json:"userType"`
	Active      *bool    `json:"active"`
	Emails      []struct {
		Value   string `json:"value"`
		Primary bool   `json:"primary"`
	} `json:"emails"`
	Members []struct {
		Value string `json:"value"`
	} `json:"members"`
	Enterprise struct {
		CostCenter string `json:"costCenter"`
		Department string `json:"department"`
	} `json:"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"`
	Ours Person `json:"urn:mcpsiem:params:scim:schemas:extension:1.0:User"`
}

// peopleSCIM reads users and groups from a ListResponse, from an array of resources or of ListResponses, or from one
// resource. A user's id is userName; id, externalId and mail addresses are aliases. The team is the first group by name that
// has the user as member, else the department. active=false reads as suspended.
func peopleSCIM(b []byte) ([]*Person, error) {
	resources, err := scimResources(b, 0)
	if err != nil {
		return nil, err
	}
	team := map[string]string{} // by SCIM id of the user
	for _, r := range resources {
		if !slices.Contains(r.Schemas, scimGroup) {
			continue
		}
		for _, m := range r.Members {
			if t, ok := team[m.Value]; !ok || r.DisplayName < t {
				team[m.Value] = r.DisplayName
			}
		}
	}
	var people []*Person
	for i, r := range resources {
		switch {
		case slices.Contains(r.Schemas, scimUser):
		case slices.Contains(r.Schemas, scimGroup):
			continue
		default:
			return nil, fmt.Errorf("resource %d is neither a SCIM user nor a group", i+1)
		}
		p := r.Ours // kind, tenant, status, left, aliases, tokens, os_users
		p.ID = r.UserName
		p.CostCenter = r.Enterprise.CostCenter
		if p.Team = team[r.ID]; p.Team == "" {
			p.Team = r.Enterprise.Department
		}
		if t := strings.ToLower(r.UserType); p.Kind == "" && (t == KindService || t == KindAgent) {
			p.Kind = t
		}
		if p.Status == "" && r.Active != nil && !*r.Active {
			p.Status = StatusSuspended
		}
		for _, a := range []string{r.ID, r.ExternalID} {
			if a != "" && a != p.ID {
				p.Aliases = append(p.Aliases, a)
			}
		}
		for _, e := range r.Emails {
			if e.Value != "" {
				p.Aliases = append(p.Aliases, e.Value)
			}
		}
		people = append(people, &p)
	}
	return people, nil
}

func scimResources(b []byte, depth int) ([]scimResource, error) {
	bad := errors.New("not valid SCIM JSON")
	if depth > 2 {
		return nil, bad
	}
	var items []json.RawMessage
	if json.Unmarshal(b, &items) != nil {
		var list struct {
			Resources *[]json.RawMessage `json:"Resources"`
		}
		if json.Unmarshal(b, &list) != nil {
			return nil, bad
		}
		if list.Resources == nil {
			var r scimResource
			if json.Unmarshal(b, &r) != nil {
				return nil, bad
			}
			return []scimResource{r}, nil
		}
		items = *list.Resources
	}
	var out []scimResource
	for i, raw := range items {
		rs, err := scimResources(raw, depth+1)
		if err != nil {
			return nil, fmt.Errorf("resource %d: %w", i+1, err)
		}
		out = append(out, rs...)
	}
	return out, nil
}
