package inspect

import "github.com/mcpsiem/mcpsiem/internal/inspect/shingle"

// longestSubject is how many bytes an identifier of somebody has at most.
const longestSubject = 128

// subject samples a value whose name says that it names whose data this is.
func (w *worker) subject(value []byte) {
	if !w.body || w.quiet || w.list || len(w.path) == 0 || len(value) == 0 || len(value) > longestSubject {
		return
	}
	if kind, ok := subjectKind(w.path[len(w.path)-1]); ok {
		w.sample.Subject(kind, value)
	}
}

// subjectKind tells names such as user_id, customerId and tenant-id from all others, in whatever case and with whatever joins.
func subjectKind(name []byte) (shingle.Kind, bool) {
	var buf [24]byte
	n := 0
	for _, c := range name {
		if c == '_' || c == '-' || c == '.' {
			continue
		}
		if n == len(buf) {
			return 0, false
		}
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		buf[n] = c
		n++
	}
	if n < 5 {
		return 0, false
	}
	switch string(buf[:n]) {
	case "userid", "customerid", "memberid", "patientid", "subscriberid", "employeeid", "studentid", "guestid", "accountid", "accountnumber", "accountholderid",
		"customernumber", "membernumber", "policyholderid":
		return shingle.Person, true
	case "tenant", "tenantid", "orgid", "organizationid", "organisationid", "workspaceid", "companyid", "customerorgid", "tenantname":
		return shingle.Organisation, true
	}
	return 0, false
}
