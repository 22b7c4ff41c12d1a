package class

// Documents, health and money, which mostly their context gives away.
var (
	Passport = Class{Name: "passport", Tags: PII, Words: []string{"passport", "reisepass", "passeport", "pasaporte", "passaporto"}, Keys: []string{"passport", "passport_number", "passport_no"}, KeyValue: func(v []byte) bool { return len(v) >= 6 && countDigits(v) >= 4 },
		Digits: []DigitRule{{Digits: 9, PlainWords: true}, {Digits: 8, PlainWords: true}}, Tokens: []TokenRule{{Min: 7, Max: 10, NeedsWords: true, Check: lettersThenDigits}}}
	DriverLicense = Class{Name: "driver_license", Tags: PII, Words: []string{"driver license", "driver's license", "drivers license", "driving licence", "driving license", "driver’s license", "license number", "führerschein", "permis de conduire"},
		Keys: []string{"driver_license", "drivers_license", "driver_license_number", "license_number", "driving_licence"}, KeyValue: func(v []byte) bool { return len(v) >= 5 && countDigits(v) >= 4 },
		Digits: []DigitRule{{Digits: 7, PlainWords: true}, {Digits: 8, PlainWords: true}, {Digits: 9, PlainWords: true}, {Digits: 10, PlainWords: true}, {Digits: 12, PlainWords: true}}, Tokens: []TokenRule{{Min: 6, Max: 18, NeedsWords: true, Check: lettersThenDigits}}}
	MedicalRecord = Class{Name: "medical_record", Tags: PHI | PII, Words: []string{"mrn", "medical record", "patient id", "patient number", "chart number", "hospital number"},
		Keys:   []string{"mrn", "medical_record_number", "patient_id", "health_record_number", "health_plan_id", "insurance_member_id", "member_id", "health_insurance_number"},
		Digits: []DigitRule{{Digits: 6, PlainWords: true}, {Digits: 7, PlainWords: true}, {Digits: 8, PlainWords: true}, {Digits: 9, PlainWords: true}, {Digits: 10, PlainWords: true}}, Tokens: []TokenRule{{Min: 6, Max: 14, NeedsWords: true, Check: lettersThenDigits}}}
	Health = Class{Name: "health", Tags: PHI | PII, Keys: []string{"diagnosis", "diagnoses", "medication", "medications", "prescription", "allergies", "medical_condition", "medical_conditions", "medical_history", "symptoms", "icd10", "icd_10", "icd_code", "blood_type", "lab_result",
		"lab_results", "treatment", "procedure_code", "immunizations", "hiv_status", "disability"}}
	BankAccount = Class{Name: "bank_account", Tags: PCI | PII, Words: []string{"account number", "bank account", "acct", "kontonummer", "sort code"}, Keys: []string{"account_number", "bank_account", "bank_account_number", "sort_code", "swift", "bic"},
		KeyValue: func(v []byte) bool { return countDigits(v) >= 5 || len(v) == 8 || len(v) == 11 }, Digits: []DigitRule{{Digits: 8, PlainWords: true}, {Digits: 10, PlainWords: true}, {Digits: 12, PlainWords: true}}}
	Person = Class{Name: "person", Tags: PII, Identity: true, Keys: []string{"first_name", "last_name", "full_name", "surname", "given_name", "family_name", "middle_name", "maiden_name", "patient_name", "customer_name", "employee_name", "cardholder_name",
		"cardholder", "account_holder", "contact_name", "passenger_name", "recipient_name", "sender_name", "firstname", "lastname", "fullname", "vorname", "nachname", "nombre", "apellido", "prenom", "mothers_maiden_name", "next_of_kin", "emergency_contact"},
		KeyValue: func(v []byte) bool { return len(v) >= 2 && len(v) <= 100 && has(v)&(cLetter|cHigh) != 0 }, Literals: personLiterals}
	Address = Class{Name: "address", Tags: PII, Keys: []string{"address", "address1", "address2", "address_1", "address_2", "address_line", "address_line1", "address_line2", "address_line_1", "address_line_2", "street", "street_address", "home_address", "postal_address",
		"mailing_address", "billing_address", "shipping_address", "zip", "zip_code", "zipcode", "postal_code", "postcode", "plz", "street_name", "house_number"}, KeyValue: postal, Literals: addressLiterals}
	CryptoAddress = Class{Name: "crypto_address", Tags: PII, Literals: []Literal{{Text: "0x", WordOnly: true, Match: ethereum}, {Text: "bc1", WordOnly: true, Match: bech32}, {Text: "ltc1", WordOnly: true, Match: bech32}, {Text: "tb1", WordOnly: true, Match: bech32}},
		Tokens: []TokenRule{}}
)

func lettersThenDigits(b []byte) bool {
	i := 0
	for i < len(b) && isLetter(b[i]) {
		i++
	}
	return i >= 1 && i <= 3 && i < len(b) && countDigits(b[i:]) >= 5
}

// postal says that a value under a key like address is one of a place, not of a machine.
func postal(v []byte) bool {
	if len(v) > 200 || len(v) < 3 || has(v)&cAt != 0 || string(v[:2]) == "0x" {
		return false
	}
	h := has(v)
	return h&cDigit != 0 && h&cColon == 0 || h&cSpace != 0
}
