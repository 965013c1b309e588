"""The Faust tables of fanout. Importing this package registers them."""

#: Other distributions install a package of this name; the application checks that this one was found.
OWNER = "fanout"
