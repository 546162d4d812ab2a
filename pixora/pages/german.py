"""The texts of the pages in German, by the English text. `{}` stands for a number."""

GERMAN = {
    # Pages
    "E-mail address": "E-Mail-Adresse",
    "Password": "Passwort",
    "New password": "Neues Passwort",
    "Error:": "Fehler:",
    "Show password": "Passwort zeigen",
    "Hide password": "Passwort verbergen",
    "Forgot your password?": "Passwort vergessen?",
    "At least {} characters. A few unrelated words are easy to remember and hard to guess.": (
        "Mindestens {} Zeichen. Ein paar Wörter ohne Zusammenhang sind leicht zu merken und schwer zu erraten."
    ),
    "Continue to": "Weiter zu",
    # Links
    "Get a new link": "Neuen Link anfordern",
    "Send the link again": "Link noch einmal schicken",
    "This link is incomplete": "Dieser Link ist unvollständig",
    "Some e-mail programs break long links.": "Manche E-Mail-Programme zerteilen lange Links.",
    "Copy the whole link from our e-mail, from “http” to the end, into the address bar of your browser.": (
        "Kopieren Sie den ganzen Link aus unserer E-Mail, von „http“ bis zum Ende, in die Adresszeile Ihres Browsers."
    ),
    "This link has expired": "Dieser Link ist abgelaufen",
    "This link no longer works": "Dieser Link funktioniert nicht mehr",
    "Each link works once, and only the newest one works.": (
        "Jeder Link funktioniert einmal, und nur der neueste funktioniert."
    ),
    # Verification
    "Verify your e-mail address": "E-Mail-Adresse bestätigen",
    "Enter your password to show that this account is yours.": (
        "Geben Sie Ihr Passwort ein, um zu zeigen, dass dieses Konto Ihnen gehört."
    ),
    "Verify e-mail address": "E-Mail-Adresse bestätigen",
    "It was valid for 24 hours. Your e-mail address is not verified yet.": (
        "Er war 24 Stunden gültig. Ihre E-Mail-Adresse ist noch nicht bestätigt."
    ),
    (
        "If you have already verified your e-mail address, you are done. If not, open the link in our latest e-mail, "
        "or get a new one."
    ): (
        "Wenn Sie Ihre E-Mail-Adresse schon bestätigt haben, sind Sie fertig. Wenn nicht, öffnen Sie den Link in "
        "unserer neuesten E-Mail, oder fordern Sie einen neuen an."
    ),
    "Your e-mail address is verified": "Ihre E-Mail-Adresse ist bestätigt",
    "You can close this page.": "Sie können diese Seite schließen.",
    "Enter your e-mail address and password. We will send you a new link to verify your e-mail address.": (
        "Geben Sie E-Mail-Adresse und Passwort ein. Wir schicken Ihnen einen neuen Link, mit dem Sie Ihre "
        "E-Mail-Adresse bestätigen."
    ),
    "Send new link": "Neuen Link schicken",
    "Check your e-mail": "Sehen Sie in Ihre E-Mails",
    "We sent you a new link. It works once and expires after 24 hours. Earlier links no longer work.": (
        "Wir haben Ihnen einen neuen Link geschickt. Er funktioniert einmal und läuft nach 24 Stunden ab. Frühere "
        "Links funktionieren nicht mehr."
    ),
    "Your e-mail address is already verified": "Ihre E-Mail-Adresse ist schon bestätigt",
    "You can close this page and sign in.": "Sie können diese Seite schließen und sich anmelden.",
    # Password
    "Forgot your password": "Passwort vergessen",
    "Enter your e-mail address. We will send you a link to choose a new password.": (
        "Geben Sie Ihre E-Mail-Adresse ein. Wir schicken Ihnen einen Link, mit dem Sie ein neues Passwort wählen."
    ),
    "Send link": "Link schicken",
    (
        "If there is an account with this e-mail address, we sent a link to it. It works once and expires after 30 "
        "minutes."
    ): (
        "Wenn es ein Konto mit dieser E-Mail-Adresse gibt, haben wir einen Link dorthin geschickt. Er funktioniert "
        "einmal und läuft nach 30 Minuten ab."
    ),
    "No e-mail after a few minutes? Look in the spam folder, and check the address.": (
        "Nach einigen Minuten noch keine E-Mail? Sehen Sie im Spam-Ordner nach, und prüfen Sie die Adresse."
    ),
    "Choose a new password": "Neues Passwort wählen",
    "You will be signed out on all devices.": "Sie werden auf allen Geräten abgemeldet.",
    "Save new password": "Neues Passwort speichern",
    "It was valid for 30 minutes. Your password has not changed.": (
        "Er war 30 Minuten gültig. Ihr Passwort hat sich nicht geändert."
    ),
    (
        "If you have just chosen a new password, sign in with it. If not, open the link in our latest e-mail, or get a "
        "new one."
    ): (
        "Wenn Sie gerade ein neues Passwort gewählt haben, melden Sie sich damit an. Wenn nicht, öffnen Sie den Link "
        "in unserer neuesten E-Mail, oder fordern Sie einen neuen an."
    ),
    "Your password has been changed": "Ihr Passwort wurde geändert",
    "You are signed out on all devices.": "Sie sind auf allen Geräten abgemeldet.",
    "You can close this page and sign in with your new password.": (
        "Sie können diese Seite schließen und sich mit dem neuen Passwort anmelden."
    ),
    # Invitation
    "Choose a password": "Passwort wählen",
    "An account has been made for you. Choose a password to sign in with.": (
        "Für Sie wurde ein Konto angelegt. Wählen Sie ein Passwort, mit dem Sie sich anmelden."
    ),
    "Save password": "Passwort speichern",
    "It was valid for {} days. Ask the people who invited you for a new one, or get a link to choose a password.": (
        "Er war {} Tage gültig. Bitten Sie die Menschen, die Sie eingeladen haben, um einen neuen, oder fordern Sie "
        "einen Link an, mit dem Sie ein Passwort wählen."
    ),
    (
        "If you have just chosen a password, sign in with it. If not, open the link in our latest e-mail, or get a new "
        "one."
    ): (
        "Wenn Sie gerade ein Passwort gewählt haben, melden Sie sich damit an. Wenn nicht, öffnen Sie den Link in "
        "unserer neuesten E-Mail, oder fordern Sie einen neuen an."
    ),
    "Welcome": "Willkommen",
    "Your password is saved, and your e-mail address is verified.": (
        "Ihr Passwort ist gespeichert, und Ihre E-Mail-Adresse ist bestätigt."
    ),
    # Change of address
    "Confirm your new e-mail address": "Neue E-Mail-Adresse bestätigen",
    "You will sign in with this address, and we will send our e-mails to it:": (
        "Mit dieser Adresse melden Sie sich künftig an, und an sie schicken wir unsere E-Mails:"
    ),
    "Use this address": "Diese Adresse verwenden",
    "It was valid for 24 hours. Your e-mail address has not changed.": (
        "Er war 24 Stunden gültig. Ihre E-Mail-Adresse hat sich nicht geändert."
    ),
    "To change it, sign in and enter the new address again.": (
        "Um sie zu ändern, melden Sie sich an und geben Sie die neue Adresse noch einmal ein."
    ),
    (
        "If you have already confirmed your new address, sign in with it. If not, open the link in our latest e-mail, "
        "or sign in and enter the new address again."
    ): (
        "Wenn Sie Ihre neue Adresse schon bestätigt haben, melden Sie sich damit an. Wenn nicht, öffnen Sie den Link "
        "in unserer neuesten E-Mail, oder melden Sie sich an und geben Sie die neue Adresse noch einmal ein."
    ),
    "Your e-mail address has been changed": "Ihre E-Mail-Adresse wurde geändert",
    "From now on, sign in with your new address.": "Melden Sie sich ab jetzt mit Ihrer neuen Adresse an.",
    "This e-mail address is taken": "Diese E-Mail-Adresse ist vergeben",
    "Another account has been created with it. Your own account keeps its current address.": (
        "Mit ihr wurde ein anderes Konto angelegt. Ihr eigenes Konto behält seine jetzige Adresse."
    ),
    "If the other account is yours too, sign in to it and delete it. Then open this link again.": (
        "Wenn das andere Konto auch Ihnen gehört, melden Sie sich dort an und löschen Sie es. Öffnen Sie dann diesen "
        "Link noch einmal."
    ),
    # Errors
    "That did not work": "Das hat nicht funktioniert",
    "We could not read the form.": "Wir konnten das Formular nicht lesen.",
    "Open the link in our e-mail and try again.": (
        "Öffnen Sie den Link in unserer E-Mail, und versuchen Sie es noch einmal."
    ),
    "Something went wrong on our side": "Bei uns ist etwas schiefgegangen",
    "Open the link in our e-mail again in a few minutes.": (
        "Öffnen Sie den Link in unserer E-Mail in einigen Minuten noch einmal."
    ),
    "Enter a password.": "Geben Sie ein Passwort ein.",
    "Enter your e-mail address.": "Geben Sie Ihre E-Mail-Adresse ein.",
    "This is not the password of the account. Try again.": (
        "Das ist nicht das Passwort des Kontos. Versuchen Sie es noch einmal."
    ),
    (
        "The e-mail address or the password is wrong. Try again. If you have forgotten your password, reset it. That "
        "also verifies your e-mail address."
    ): (
        "Die E-Mail-Adresse oder das Passwort ist falsch. Versuchen Sie es noch einmal. Wenn Sie Ihr Passwort "
        "vergessen haben, setzen Sie es zurück. Damit ist auch Ihre E-Mail-Adresse bestätigt."
    ),
    "Too many people are signing in right now. Nothing has changed. Try again in a few seconds.": (
        "Gerade melden sich zu viele Menschen an. Es hat sich nichts geändert. Versuchen Sie es in einigen Sekunden "
        "noch einmal."
    ),
    "We cannot reach our database right now. Try again in a few seconds.": (
        "Wir erreichen unsere Datenbank gerade nicht. Versuchen Sie es in einigen Sekunden noch einmal."
    ),
    "There have been too many attempts. Try again in a minute.": (
        "Das waren zu viele Versuche. Versuchen Sie es in einer Minute noch einmal."
    ),
    "There have been too many attempts. Try again in {} minutes.": (
        "Das waren zu viele Versuche. Versuchen Sie es in {} Minuten noch einmal."
    ),
    "There have been too many attempts. Try again in {} hours.": (
        "Das waren zu viele Versuche. Versuchen Sie es in {} Stunden noch einmal."
    ),
    # Advice while somebody types; `#` is replaced in the browser
    "Characters still missing: #": "Es fehlen noch # Zeichen",
    "Too long: at most 72 bytes, where letters with accents count two and emoji four.": (
        "Zu lang: höchstens 72 Bytes; Umlaute zählen zwei und Emojis vier."
    ),
    "Only your e-mail address, the name of this service and digits: add other words.": (
        "Nur Ihre E-Mail-Adresse, der Name dieses Dienstes und Ziffern: Ergänzen Sie andere Wörter."
    ),
    "Very few different characters: add other words.": "Sehr wenige verschiedene Zeichen: Ergänzen Sie andere Wörter.",
    "Long enough. When you save it, we check that it is hard to guess.": (
        "Lang genug. Beim Speichern prüfen wir, ob es schwer zu erraten ist."
    ),
    # Rules for passwords
    "Must have at least {} characters.": "Es muss mindestens {} Zeichen haben.",
    "Must have at most {} bytes in UTF-8, where letters with accents count two and emoji four.": (
        "Es darf höchstens {} Bytes in UTF-8 haben; Umlaute zählen zwei und Emojis vier."
    ),
    "Must not consist of your names, e-mail address and digits alone.": (
        "Es darf nicht nur aus Ihrem Namen, Ihrer E-Mail-Adresse und Ziffern bestehen."
    ),
    "Must not contain NUL or lone surrogates.": "Es enthält Zeichen, die nicht erlaubt sind.",
    "Missing data for required field.": "Geben Sie ein Passwort ein.",
    "This is easy to guess.": "Es ist leicht zu erraten.",
    # zxcvbn's warnings
    "Straight rows of keys are easy to guess.": "Tastenreihen sind leicht zu erraten.",
    "Short keyboard patterns are easy to guess.": "Kurze Tastaturmuster sind leicht zu erraten.",
    'Repeats like "aaa" are easy to guess.': "Wiederholungen wie „aaa“ sind leicht zu erraten.",
    'Repeats like "abcabcabc" are only slightly harder to guess than "abc".': (
        "Wiederholungen wie „abcabcabc“ sind kaum schwerer zu erraten als „abc“."
    ),
    "This is a top-10 common password.": "Es ist eines der 10 häufigsten Passwörter.",
    "This is a top-100 common password.": "Es ist eines der 100 häufigsten Passwörter.",
    "This is a very common password.": "Es ist ein sehr häufiges Passwort.",
    "This is similar to a commonly used password.": "Es ähnelt einem häufigen Passwort.",
    "Sequences like abc or 6543 are easy to guess.": "Folgen wie abc oder 6543 sind leicht zu erraten.",
    "Recent years are easy to guess.": "Jahreszahlen der letzten Zeit sind leicht zu erraten.",
    "A word by itself is easy to guess.": "Ein einzelnes Wort ist leicht zu erraten.",
    "Dates are often easy to guess.": "Daten sind oft leicht zu erraten.",
    "Names and surnames by themselves are easy to guess.": "Namen allein sind leicht zu erraten.",
    "Common names and surnames are easy to guess.": "Häufige Namen sind leicht zu erraten.",
    # zxcvbn's suggestions
    "Use a few words, avoid common phrases.": "Nehmen Sie einige Wörter, aber keine bekannten Sätze.",
    "No need for symbols, digits, or uppercase letters.": "Sonderzeichen, Ziffern und Großbuchstaben sind nicht nötig.",
    "Add another word or two. Uncommon words are better.": "Ergänzen Sie ein oder zwei Wörter, am besten seltene.",
    "Capitalization doesn't help very much.": "Großbuchstaben am Anfang helfen wenig.",
    "All-uppercase is almost as easy to guess as all-lowercase.": (
        "Nur Großbuchstaben sind fast so leicht zu erraten wie nur Kleinbuchstaben."
    ),
    "Reversed words aren't much harder to guess.": "Umgekehrte Wörter sind kaum schwerer zu erraten.",
    "Predictable substitutions like '@' instead of 'a' don't help very much.": (
        "Ersetzungen wie „@“ für „a“ helfen wenig."
    ),
    "Use a longer keyboard pattern with more turns.": "Nehmen Sie ein längeres Tastaturmuster mit mehr Wendungen.",
    "Avoid repeated words and characters.": "Vermeiden Sie wiederholte Wörter und Zeichen.",
    "Avoid sequences.": "Vermeiden Sie Folgen.",
    "Avoid recent years.": "Vermeiden Sie Jahreszahlen der letzten Zeit.",
    "Avoid years that are associated with you.": "Vermeiden Sie Jahreszahlen, die mit Ihnen zu tun haben.",
    "Avoid dates and years that are associated with you.": (
        "Vermeiden Sie Daten und Jahreszahlen, die mit Ihnen zu tun haben."
    ),
}
