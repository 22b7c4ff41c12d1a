package class

// Identity numbers of countries, each with the rules and check digits that its issuer publishes. Numbers whose shape says little need words
// around them.
var (
	CanadaSIN   = Class{Name: "ca_sin", Tags: PII, Jurisdiction: "CA", Words: []string{"sin", "social insurance", "numéro d'assurance"}, Keys: []string{"social_insurance_number"}, Digits: []DigitRule{{Digits: 9, Loose: []string{"3-3-3", "3 3 3"}, PlainWords: true, Check: Luhn}}}
	MexicoCURP  = Class{Name: "mx_curp", Tags: PII, Jurisdiction: "MX", Keys: []string{"curp"}, Tokens: []TokenRule{{Min: 18, Max: 18, Check: curp}}}
	BrazilCPF   = Class{Name: "br_cpf", Tags: PII, Jurisdiction: "BR", Words: []string{"cpf"}, Keys: []string{"cpf"}, Digits: []DigitRule{{Digits: 11, Groups: []string{"3.3.3-2"}, PlainWords: true, Check: cpf}}}
	BrazilCNPJ  = Class{Name: "br_cnpj", Tags: PII, Jurisdiction: "BR", Words: []string{"cnpj"}, Keys: []string{"cnpj"}, Digits: []DigitRule{{Digits: 14, Groups: []string{"2.3.3/4-2"}, PlainWords: true, Check: cnpj}}}
	Argentina   = Class{Name: "ar_cuit", Tags: PII, Jurisdiction: "AR", Words: []string{"cuit", "cuil"}, Digits: []DigitRule{{Digits: 11, Groups: []string{"2-8-1"}, PlainWords: true, Check: weighted(11, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)}}}
	Chile       = Class{Name: "cl_rut", Tags: PII, Jurisdiction: "CL", Words: []string{"rut", "rol único"}, Digits: []DigitRule{{Digits: 9, Groups: []string{"2.3.3-1"}, Loose: []string{"8-1"}, Check: rut}}}
	UKNINO      = Class{Name: "uk_nino", Tags: PII, Jurisdiction: "GB", Words: []string{"nino", "national insurance"}, Keys: []string{"nino", "national_insurance_number"}, Tokens: []TokenRule{{Min: 9, Max: 9, Check: nino}}}
	UKNHS       = Class{Name: "uk_nhs", Tags: PII | PHI, Jurisdiction: "GB", Words: []string{"nhs"}, Keys: []string{"nhs_number"}, Digits: []DigitRule{{Digits: 10, Loose: []string{"3 3 4", "3-3-4"}, PlainWords: true, Check: nhs}}}
	Ireland     = Class{Name: "ie_pps", Tags: PII, Jurisdiction: "IE", Words: []string{"pps", "ppsn"}, Keys: []string{"ppsn", "pps_number"}, Tokens: []TokenRule{{Min: 8, Max: 9, NeedsWords: true, Check: pps}}}
	Germany     = Class{Name: "de_tax_id", Tags: PII, Jurisdiction: "DE", Words: []string{"steuer-id", "steuerid", "idnr", "steueridentifikationsnummer", "steuernummer", "tax id"}, Keys: []string{"steuer_id", "steuerid"}, Digits: []DigitRule{{Digits: 11, Groups: []string{"2 3 3 3"}, PlainWords: true, Check: steuerID}}}
	France      = Class{Name: "fr_nir", Tags: PII | PHI, Jurisdiction: "FR", Keys: []string{"nir", "numero_securite_sociale"}, Digits: []DigitRule{{Digits: 15, Groups: []string{"1 2 2 2 3 3 2", "d 2"}, Plain: true, Check: nir}}}
	SpainDNI    = Class{Name: "es_dni", Tags: PII, Jurisdiction: "ES", Keys: []string{"dni", "nie", "nif"}, Tokens: []TokenRule{{Min: 9, Max: 9, Check: dni}}}
	Portugal    = Class{Name: "pt_nif", Tags: PII, Jurisdiction: "PT", Words: []string{"nif", "contribuinte"}, Digits: []DigitRule{{Digits: 9, Loose: []string{"3 3 3"}, PlainWords: true, Check: nif}}}
	Italy       = Class{Name: "it_codice_fiscale", Tags: PII, Jurisdiction: "IT", Keys: []string{"codice_fiscale"}, Tokens: []TokenRule{{Min: 16, Max: 16, Check: codiceFiscale}}}
	Netherlands = Class{Name: "nl_bsn", Tags: PII, Jurisdiction: "NL", Words: []string{"bsn", "burgerservicenummer", "sofinummer"}, Keys: []string{"bsn"}, Digits: []DigitRule{{Digits: 9, Loose: []string{"3.3.3", "4.2.3", "3 3 3"}, PlainWords: true, Check: bsn}}}
	Belgium     = Class{Name: "be_national", Tags: PII, Jurisdiction: "BE", Words: []string{"rijksregisternummer", "registre national", "national number", "niss", "insz"}, Digits: []DigitRule{{Digits: 11, Groups: []string{"2.2.2-3.2"}, PlainWords: true, Check: belgium}}}
	Switzerland = Class{Name: "ch_ahv", Tags: PII, Jurisdiction: "CH", Keys: []string{"ahv", "ahv_number"}, Digits: []DigitRule{{Digits: 13, Groups: []string{"3.4.4.2"}, Plain: true, Check: ahv}}}
	Austria     = Class{Name: "at_svnr", Tags: PII | PHI, Jurisdiction: "AT", Words: []string{"svnr", "sozialversicherungsnummer", "sv-nummer"}, Digits: []DigitRule{{Digits: 10, Loose: []string{"4 6", "4-6"}, PlainWords: true, Check: svnr}}}
	Sweden      = Class{Name: "se_personnummer", Tags: PII, Jurisdiction: "SE", Words: []string{"personnummer"}, Keys: []string{"personnummer"}, Digits: []DigitRule{{Digits: 10, Groups: []string{"6-4"}, PlainWords: true, Check: func(d []byte) bool { return yymmdd(d) && Luhn(d) }}, {Digits: 12, Groups: []string{"8-4"}, PlainWords: true, Check: func(d []byte) bool { return yymmdd(d[2:]) && Luhn(d[2:]) }}}}
	Norway      = Class{Name: "no_fodselsnummer", Tags: PII, Jurisdiction: "NO", Words: []string{"fødselsnummer", "fodselsnummer", "personnummer", "fnr"}, Digits: []DigitRule{{Digits: 11, Groups: []string{"6 5"}, PlainWords: true, Check: norway}}}
	Denmark     = Class{Name: "dk_cpr", Tags: PII, Jurisdiction: "DK", Words: []string{"cpr", "personnummer", "cpr-nummer"}, Keys: []string{"cpr", "cpr_number"}, Digits: []DigitRule{{Digits: 10, Loose: []string{"6-4"}, PlainWords: true, Check: ddmmyy}}}
	Finland     = Class{Name: "fi_hetu", Tags: PII, Jurisdiction: "FI", Keys: []string{"hetu", "henkilotunnus"}, Tokens: []TokenRule{{Min: 11, Max: 11, Check: hetu}}}
	Poland      = Class{Name: "pl_pesel", Tags: PII, Jurisdiction: "PL", Words: []string{"pesel"}, Keys: []string{"pesel"}, Digits: []DigitRule{{Digits: 11, PlainWords: true, Check: pesel}}}
	Czechia     = Class{Name: "cz_birth_number", Tags: PII, Jurisdiction: "CZ", Words: []string{"rodné číslo", "rodne cislo", "birth number"}, Digits: []DigitRule{{Digits: 10, Loose: []string{"6/4"}, PlainWords: true, Check: func(d []byte) bool { return number(d)%11 == 0 }}}}
	Romania     = Class{Name: "ro_cnp", Tags: PII, Jurisdiction: "RO", Words: []string{"cnp", "cod numeric"}, Keys: []string{"cnp"}, Digits: []DigitRule{{Digits: 13, PlainWords: true, Check: cnp}}}
	Bulgaria    = Class{Name: "bg_egn", Tags: PII, Jurisdiction: "BG", Words: []string{"egn", "егн"}, Digits: []DigitRule{{Digits: 10, PlainWords: true, Check: egn}}}
	Croatia     = Class{Name: "hr_oib", Tags: PII, Jurisdiction: "HR", Words: []string{"oib"}, Keys: []string{"oib"}, Digits: []DigitRule{{Digits: 11, PlainWords: true, Check: mod1110}}}
	Turkey      = Class{Name: "tr_tckn", Tags: PII, Jurisdiction: "TR", Words: []string{"tckn", "tc kimlik", "kimlik no"}, Keys: []string{"tckn"}, Digits: []DigitRule{{Digits: 11, PlainWords: true, Check: tckn}}}
	Israel      = Class{Name: "il_id", Tags: PII, Jurisdiction: "IL", Words: []string{"teudat zehut", "israeli id"}, Digits: []DigitRule{{Digits: 9, PlainWords: true, Check: Luhn}}}
	SouthAfrica = Class{Name: "za_id", Tags: PII, Jurisdiction: "ZA", Words: []string{"south african id", "sa id", "id number", "rsa id"}, Digits: []DigitRule{{Digits: 13, Groups: []string{"6 4 3", "6 4 2 1"}, PlainWords: true, Check: func(d []byte) bool { return yymmdd(d) && Luhn(d) && d[10] <= '2' }}}}
	Aadhaar     = Class{Name: "in_aadhaar", Tags: PII, Jurisdiction: "IN", Words: []string{"aadhaar", "aadhar", "uidai"}, Keys: []string{"aadhaar", "aadhaar_number"}, Digits: []DigitRule{{Digits: 12, Loose: []string{"4 4 4", "4-4-4"}, PlainWords: true, Check: func(d []byte) bool { return d[0] >= '2' && verhoeff(d) }}}}
	IndiaPAN    = Class{Name: "in_pan", Tags: PII, Jurisdiction: "IN", Words: []string{"pan card", "permanent account"}, Tokens: []TokenRule{{Min: 10, Max: 10, Check: indiaPAN}}}
	China       = Class{Name: "cn_ric", Tags: PII, Jurisdiction: "CN", Words: []string{"身份证"}, Digits: []DigitRule{{Digits: 18, Plain: true, Check: ric}}, Tokens: []TokenRule{{Min: 18, Max: 18, Check: func(b []byte) bool { return b[17] == 'X' && all(b[:17], cDigit) && ric(b) }}}}
	Korea       = Class{Name: "kr_rrn", Tags: PII, Jurisdiction: "KR", Words: []string{"주민등록번호", "resident registration"}, Digits: []DigitRule{{Digits: 13, Groups: []string{"6-7"}, PlainWords: true, Check: rrn}}}
	Japan       = Class{Name: "jp_my_number", Tags: PII, Jurisdiction: "JP", Words: []string{"my number", "マイナンバー", "個人番号"}, Keys: []string{"my_number"}, Digits: []DigitRule{{Digits: 12, Loose: []string{"4 4 4", "4-4-4"}, PlainWords: true, Check: myNumber}}}
	Singapore   = Class{Name: "sg_nric", Tags: PII, Jurisdiction: "SG", Keys: []string{"nric"}, Tokens: []TokenRule{{Min: 9, Max: 9, Check: nric}}}
	AustraliaT  = Class{Name: "au_tfn", Tags: PII, Jurisdiction: "AU", Words: []string{"tfn", "tax file"}, Keys: []string{"tfn", "tax_file_number"}, Digits: []DigitRule{{Digits: 9, Loose: []string{"3 3 3", "3-3-3"}, PlainWords: true, Check: weighted(11, 1, 4, 3, 7, 5, 8, 6, 9, 10)}}}
	AustraliaM  = Class{Name: "au_medicare", Tags: PII | PHI, Jurisdiction: "AU", Words: []string{"medicare"}, Digits: []DigitRule{{Digits: 10, Loose: []string{"4 5 1"}, PlainWords: true, Check: medicare}}}
	USMBI       = Class{Name: "us_mbi", Tags: PII | PHI, Jurisdiction: "US", Keys: []string{"mbi", "medicare_beneficiary_identifier"}, Tokens: []TokenRule{{Min: 11, Max: 11, Check: mbi}}}
	USEIN       = Class{Name: "us_ein", Tags: PII, Jurisdiction: "US", Words: []string{"ein", "employer identification", "fein"}, Keys: []string{"ein"}, Digits: []DigitRule{{Digits: 9, Loose: []string{"2-7"}}}}
	USRouting   = Class{Name: "us_routing", Tags: PCI, Jurisdiction: "US", Words: []string{"routing", "aba", "rtn"}, Keys: []string{"routing_number"}, Digits: []DigitRule{{Digits: 9, PlainWords: true, Check: weighted(10, 3, 7, 1, 3, 7, 1, 3, 7, 1)}}}
	USNPI       = Class{Name: "us_npi", Tags: PHI, Jurisdiction: "US", Words: []string{"npi", "provider identifier"}, Keys: []string{"npi"}, Digits: []DigitRule{{Digits: 10, PlainWords: true, Check: func(d []byte) bool { return Luhn(append([]byte("80840"), d...)) }}}}
	USDEA       = Class{Name: "us_dea", Tags: PHI, Jurisdiction: "US", Words: []string{"dea"}, Tokens: []TokenRule{{Min: 9, Max: 9, NeedsWords: true, Check: dea}}}
)

// weighted makes the check that the weighted sum of the digits is a multiple of mod.
func weighted(mod int, w ...int) func(d []byte) bool {
	return func(d []byte) bool {
		sum := 0
		for i, c := range d {
			sum += int(c-'0') * w[i]
		}
		return sum%mod == 0 && !same(d)
	}
}

func sum(d []byte, w ...int) (s int) {
	for i, k := range w {
		s += int(d[i]-'0') * k
	}
	return s
}

func number(d []byte) (v int) {
	for _, c := range d {
		v = v*10 + int(c-'0')
	}
	return v
}

// yymmdd and ddmmyy say whether d begins with a date.
func yymmdd(d []byte) bool {
	m, day := number(d[2:4]), number(d[4:6])
	return m >= 1 && m <= 12 && day >= 1 && (day <= 31 || day >= 61 && day <= 91) // Sweden's coordination numbers add 60
}

func ddmmyy(d []byte) bool {
	m, day := number(d[2:4]), number(d[:2])
	return m >= 1 && m <= 12 && day >= 1 && day <= 31
}

func checkMod11(d []byte, from int) bool { // CPF's scheme: weights from .. 2
	s := 0
	for i := range len(d) - 1 {
		s += int(d[i]-'0') * (from - i)
	}
	r := s * 10 % 11 % 10
	return r == int(d[len(d)-1]-'0')
}

func cpf(d []byte) bool { return !same(d) && checkMod11(d[:10], 10) && checkMod11(d, 11) }

func cnpj(d []byte) bool {
	f := func(n int, w ...int) bool {
		r := sum(d, w...) % 11
		k := 0
		if r >= 2 {
			k = 11 - r
		}
		return k == int(d[n]-'0')
	}
	return !same(d) && f(12, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2) && f(13, 6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)
}

func rut(d []byte) bool {
	r := 11 - sum(d, 3, 2, 7, 6, 5, 4, 3, 2)%11
	return r != 10 && r%11 == int(d[8]-'0') && !same(d)
}

func nhs(d []byte) bool {
	r := 11 - sum(d, 10, 9, 8, 7, 6, 5, 4, 3, 2)%11
	return r != 10 && r%11 == int(d[9]-'0') && !same(d)
}

func nif(d []byte) bool {
	r := 11 - sum(d, 9, 8, 7, 6, 5, 4, 3, 2)%11
	if r >= 10 {
		r = 0
	}
	return r == int(d[8]-'0') && d[0] != '0' && !same(d)
}

func bsn(d []byte) bool {
	return !same(d) && (sum(d, 9, 8, 7, 6, 5, 4, 3, 2)-int(d[8]-'0'))%11 == 0
}

func belgium(d []byte) bool {
	c := number(d[9:])
	return yymmddLoose(d) && (97-number(d[:9])%97 == c || 97-(2000000000+number(d[:9]))%97 == c)
}

func yymmddLoose(d []byte) bool { return number(d[2:4])%20 <= 12 && number(d[4:6]) <= 31 }

func ahv(d []byte) bool {
	return string(d[:3]) == "756" && sum(d, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1)%10 == 0
}

func svnr(d []byte) bool {
	return sum(append(append([]byte{}, d[:3]...), d[4:]...), 3, 7, 9, 5, 8, 4, 2, 1, 6)%11 == int(d[3]-'0') && ddmmyy(d[4:])
}

func norway(d []byte) bool {
	day := number(d[:2])
	return (day >= 1 && day <= 31 || day >= 41 && day <= 71) && sum(d, 3, 7, 6, 1, 8, 9, 4, 5, 2, 1)%11 == 0 && sum(d, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)%11 == 0
}

func pesel(d []byte) bool {
	m := number(d[2:4]) % 20
	return m >= 1 && m <= 12 && sum(d, 1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)%10 == 0
}

func cnp(d []byte) bool {
	r := sum(d, 2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9) % 11
	if r == 10 {
		r = 1
	}
	return d[0] != '0' && r == int(d[12]-'0') && yymmdd(d[1:])
}

func egn(d []byte) bool {
	return sum(d, 2, 4, 8, 5, 10, 9, 7, 3, 6)%11%10 == int(d[9]-'0') && number(d[2:4])%20 <= 12 && !same(d)
}

// mod1110 is ISO 7064 mod 11,10.
func mod1110(d []byte) bool {
	p := 10
	for _, c := range d[:len(d)-1] {
		s := (int(c-'0') + p) % 10
		if s == 0 {
			s = 10
		}
		p = s * 2 % 11
	}
	return (11-p)%10 == int(d[len(d)-1]-'0')
}

// steuerID: no leading zero, one digit twice or thrice among the first ten, ISO 7064 mod 11,10.
func steuerID(d []byte) bool {
	var n [10]int
	for _, c := range d[:10] {
		n[c-'0']++
	}
	repeated := 0
	for _, k := range n {
		if k > 3 {
			return false
		}
		if k >= 2 {
			repeated++
		}
	}
	return d[0] != '0' && repeated == 1 && mod1110(d)
}

func nir(d []byte) bool {
	m := number(d[3:5])
	if d[0] != '1' && d[0] != '2' || m < 1 || m > 12 && m < 20 || m > 42 && m < 50 {
		return false
	}
	return 97-number(d[:13])%97 == number(d[13:])
}

func tckn(d []byte) bool {
	odd := sum(d, 1, 0, 1, 0, 1, 0, 1, 0, 1)
	even := sum(d, 0, 1, 0, 1, 0, 1, 0, 1)
	return d[0] != '0' && ((odd*7-even)%10+10)%10 == int(d[9]-'0') && sum(d, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)%10 == int(d[10]-'0')
}

func rrn(d []byte) bool {
	return yymmdd(d) && d[6] >= '1' && d[6] <= '8' && (11-sum(d, 2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)%11)%10 == int(d[12]-'0')
}

func myNumber(d []byte) bool {
	r := sum(d, 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2) % 11
	k := 0
	if r > 1 {
		k = 11 - r
	}
	return k == int(d[11]-'0') && !same(d)
}

func medicare(d []byte) bool {
	return d[0] >= '2' && d[0] <= '6' && sum(d, 1, 3, 7, 9, 1, 3, 7, 9)%10 == int(d[8]-'0')
}

// ric: GB 11643, ISO 7064 mod 11-2 with a date in the middle.
func ric(d []byte) bool {
	y, m, day := number(d[6:10]), number(d[10:12]), number(d[12:14])
	if y < 1880 || y > 2100 || m < 1 || m > 12 || day < 1 || day > 31 {
		return false
	}
	return "10X98765432"[sum(d, 7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)%11] == d[17]
}

var verhoeffD = [10][10]byte{{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 2, 3, 4, 0, 6, 7, 8, 9, 5}, {2, 3, 4, 0, 1, 7, 8, 9, 5, 6}, {3, 4, 0, 1, 2, 8, 9, 5, 6, 7}, {4, 0, 1, 2, 3, 9, 5, 6, 7, 8},
	{5, 9, 8, 7, 6, 0, 4, 3, 2, 1}, {6, 5, 9, 8, 7, 1, 0, 4, 3, 2}, {7, 6, 5, 9, 8, 2, 1, 0, 4, 3}, {8, 7, 6, 5, 9, 3, 2, 1, 0, 4}, {9, 8, 7, 6, 5, 4, 3, 2, 1, 0}}

var verhoeffP = [8][10]byte{{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 5, 7, 6, 2, 8, 3, 0, 9, 4}, {5, 8, 0, 3, 7, 9, 6, 1, 4, 2}, {8, 9, 1, 6, 0, 4, 3, 5, 2, 7}, {9, 4, 5, 3, 1, 2, 6, 8, 7, 0},
	{4, 2, 8, 6, 5, 7, 3, 9, 0, 1}, {2, 7, 9, 3, 8, 0, 6, 4, 1, 5}, {7, 0, 4, 6, 9, 1, 3, 2, 5, 8}}

func verhoeff(d []byte) bool {
	c := byte(0)
	for i := range d {
		c = verhoeffD[c][verhoeffP[i%8][d[len(d)-1-i]-'0']]
	}
	return c == 0
}

func nino(b []byte) bool {
	if !all(b[:2], cUpper) || !all(b[2:8], cDigit) || b[8] < 'A' || b[8] > 'D' {
		return false
	}
	for _, c := range b[:2] {
		switch c {
		case 'D', 'F', 'I', 'Q', 'U', 'V':
			return false
		}
	}
	switch string(b[:2]) {
	case "BG", "GB", "NK", "KN", "TN", "NT", "ZZ":
		return false
	}
	return b[1] != 'O'
}

func pps(b []byte) bool {
	if !all(b[:7], cDigit) || !all(b[7:], cUpper) {
		return false
	}
	s := sum(b, 8, 7, 6, 5, 4, 3, 2)
	if len(b) == 9 {
		s += 9 * int(b[8]-'A'+1)
	}
	return "WABCDEFGHIJKLMNOPQRSTUV"[s%23] == b[7]
}

func dni(b []byte) bool {
	d := b
	var x [9]byte
	if i := int(b[0]) - 'X'; i >= 0 && i <= 2 {
		copy(x[:], b)
		x[0] = '0' + byte(i)
		d = x[:]
	}
	return all(d[:8], cDigit) && "TRWAGMYFPDXBNJZSQVHLCKE"[number(d[:8])%23] == b[8]
}

func codiceFiscale(b []byte) bool {
	const odd = "BAKPLCQDREVOSFTGUHMINJWZYX"
	for i, c := range b {
		letter := i < 6 || i == 8 || i == 11 || i == 15
		if letter != isLetter(c) && !(!letter && c >= 'L' && c <= 'V') {
			return false
		}
	}
	s := 0
	for i, c := range b[:15] {
		v := int(c - 'A')
		if isDigit(c) {
			v = int(c - '0')
		}
		if i%2 == 0 {
			for k := range odd {
				if int(odd[k]-'A') == v {
					v = k
					break
				}
			}
		}
		s += v
	}
	return byte('A'+s%26) == b[15]
}

func hetu(b []byte) bool {
	if !all(b[:6], cDigit) || b[6] < 'A' || b[6] > 'F' || !all(b[7:10], cDigit) {
		return false
	}
	return ddmmyy(b) && "0123456789ABCDEFHJKLMNPRSTUVWXY"[(number(b[:6])*1000+number(b[7:10]))%31] == b[10]
}

func indiaPAN(b []byte) bool {
	if !all(b[:5], cUpper) || !all(b[5:9], cDigit) || !isLetter(b[9]) {
		return false
	}
	switch b[3] {
	case 'P', 'C', 'H', 'F', 'A', 'T', 'B', 'L', 'J', 'G':
		return true
	}
	return false
}

func nric(b []byte) bool {
	if !all(b[1:8], cDigit) {
		return false
	}
	s := sum(b[1:], 2, 7, 6, 5, 4, 3, 2)
	switch b[0] {
	case 'S':
		return "JZIHGFEDCBA"[s%11] == b[8]
	case 'T':
		return "JZIHGFEDCBA"[(s+4)%11] == b[8]
	case 'F':
		return "XWUTRQPNMLK"[s%11] == b[8]
	case 'G':
		return "XWUTRQPNMLK"[(s+4)%11] == b[8]
	case 'M':
		return "XWUTRQPNJLK"[(s+3)%11] == b[8]
	}
	return false
}

func curp(b []byte) bool {
	if !all(b[:4], cUpper) || !all(b[4:10], cDigit) || b[10] != 'H' && b[10] != 'M' && b[10] != 'X' || !all(b[11:16], cUpper) || !isDigit(b[17]) {
		return false
	}
	s := 0
	for i, c := range b[:17] {
		v := 0
		switch {
		case isDigit(c):
			v = int(c - '0')
		case c <= 'N':
			v = int(c-'A') + 10
		default: // Ñ takes a place after N
			v = int(c-'A') + 11
		}
		s += v * (18 - i)
	}
	return (10-s%10)%10 == int(b[17]-'0')
}

func mbi(b []byte) bool {
	const pattern = "CA?NA?NAANN"
	for i, c := range b {
		l := isLetter(c)
		if l && (c == 'S' || c == 'L' || c == 'O' || c == 'I' || c == 'B' || c == 'Z') {
			return false
		}
		switch pattern[i] {
		case 'C':
			if c < '1' || c > '9' {
				return false
			}
		case 'A':
			if !l {
				return false
			}
		case 'N':
			if l {
				return false
			}
		}
	}
	return true
}

func dea(b []byte) bool {
	if !isLetter(b[0]) || !all(b[2:], cDigit) {
		return false
	}
	d := b[2:]
	return (sum(d, 1, 0, 1, 0, 1)+2*sum(d, 0, 1, 0, 1, 0, 1))%10 == int(d[6]-'0')
}
