package class

// Classes is the list of everything that inspection knows. To add a class, write its variable (a file of its own if it has
// logic) and name it here; to add a secret with a telling prefix, add a row to formats.
var Classes = append([]Class{
	Generic, Email, Phone, Card, CardSecurity, IBAN, IP, MAC, BirthDate,
	JWT, PrivateKey, URLCredentials, Authorization, Cookie, CloudSAS, Telegram, OpenAIOld, Azure, Terraform, Mailchimp, NewRelicL, Command,
}, append(more, formatClasses()...)...)

// The classes that code finds rather than a table, by position in Classes.
var (
	idSecret    = idOf("secret")
	idEmail     = idOf("email")
	idPhone     = idOf("phone")
	idCard      = idOf("card")
	idIBAN      = idOf("iban")
	idIP        = idOf("ip")
	idMAC       = idOf("mac_address")
	idBirthDate = idOf("birth_date")
	idPerson    = idOf("person")
	idWallet    = idOf("crypto_wallet")
	idCryptoKey = idOf("crypto_private_key")
	idHetu      = idOf("fi_hetu")
)

func idOf(name string) ID {
	for i := range Classes {
		if Classes[i].Name == name {
			return ID(i)
		}
	}
	panic("BUG: no class " + name)
}

// EmailID is the class of addresses, which two neighbouring strings make by accident.
func EmailID() ID { return idEmail }
