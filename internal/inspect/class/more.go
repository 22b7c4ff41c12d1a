package class

// more are the classes of further files, in the order in which they are asked.
var more = []Class{SSN, USMBI, USEIN, USRouting, USNPI, USDEA, CanadaSIN, MexicoCURP, BrazilCPF, BrazilCNPJ, Argentina, Chile, UKNINO, UKNHS, Ireland, Germany, France, SpainDNI, Portugal, Italy, Netherlands, Belgium, Switzerland, Austria,
	Sweden, Norway, Denmark, Finland, Poland, Czechia, Romania, Bulgaria, Croatia, Turkey, Israel, SouthAfrica, Aadhaar, IndiaPAN, China, Korea, Japan, Singapore, AustraliaT, AustraliaM,
	Passport, DriverLicense, MedicalRecord, Health, BankAccount, Person, Address, CryptoAddress, CryptoWallet, CryptoKey,
	EnvValue, OpaqueState, Elicited, Blob, Encoded, QueryValue, SessionID}

// SSN: the ranges that the Social Security Administration never assigns are excluded (SSA, randomization since 2011).
var SSN = Class{Name: "us_ssn", Tags: PII, Jurisdiction: "US", Words: []string{"ssn", "social security", "social sec", "taxpayer", "itin"},
	Keys: []string{"ssn", "social_security_number", "social_security"}, KeyValue: func(v []byte) bool { return countDigits(v) >= 4 },
	Digits: []DigitRule{{Digits: 9, Groups: []string{"3-2-4"}, Loose: []string{"3 2 4", "3.2.4", "3/2/4"}, PlainWords: true, Check: func(d []byte) bool {
		if string(d[:3]) == "000" || string(d[:3]) == "666" || string(d[3:5]) == "00" || string(d[5:]) == "0000" {
			return false
		}
		return d[0] != '9' || d[3] >= '5' // 9xx with 50 and more in the middle: individual taxpayer numbers
	}}}}
