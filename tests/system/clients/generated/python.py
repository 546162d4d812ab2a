import datetime
import os

from pixora_client import AuthenticatedClient, Client, models
from pixora_client.api.auth import log_in, log_out, refresh_tokens, sign_up
from pixora_client.api.users import change_me, get_me

URL, EMAIL, PASSWORD = os.environ["URL"], "ada.python@example.com", "difference-engine-no-2"
client = Client(URL)

account = models.Signup(
    first_name="Ada",
    last_name="Lovelace",
    email=EMAIL,
    password=PASSWORD,
    contact="+442079460958",
    birthday=datetime.date(1990, 12, 10),
)
assert sign_up.sync_detailed(client=client, body=account).status_code == 201
tokens = log_in.sync(client=client, body=models.Login(username=EMAIL, password=PASSWORD))
me = get_me.sync(client=AuthenticatedClient(URL, tokens.access_token))
assert (me.email, me.first_name) == (EMAIL, "Ada")
form = models.Refresh(grant_type=models.RefreshGrantType.REFRESH_TOKEN, refresh_token=tokens.refresh_token)
tokens = refresh_tokens.sync(client=client, body=form)
logged_in = AuthenticatedClient(URL, tokens.access_token)
assert change_me.sync(client=logged_in, body=models.ProfileChanges(last_name="King")).last_name == "King"
assert log_out.sync_detailed(client=logged_in).status_code == 204
refused = get_me.sync(client=logged_in)
assert (refused.status, refused.code) == (401, "invalid_token")
